"""The sentences with which ``rankwise study orthogonalization`` answers; ``event_summary`` says which and fills them.

A language has every key of the others; a test holds them to the same fields.
"""

from __future__ import annotations

ENGLISH = {
    "jump": (
        "Why it jumps: QR keeps Q and throws R away, on A and on B, so B A is no longer what was learned. Here B A "
        "changed by {change} of its norm at an event, and the loss on the very same examples by {jump} nats per token "
        "on average."
    ),
    "lengths": (
        "Why row normalization alone does not orthogonalize: it changes lengths, and angles do not depend on lengths. "
        "The cosines between rows of A moved by at most {moved:.0e}; they reached {reached:.2f} right after it. "
        "Normalizing the small columns of B is in effect a large optimizer step: the loss moved by {jump} nats."
    ),
    "quiet": (
        "Which event has no jump: folding what is taken from A into B leaves B A as it was, (M A, B M^-1) for any "
        "invertible M. Orthogonal rows without a jump, with the largest change of the loss in nats: {names}."
    ),
    "log": (
        "About the training log that raised the question: it is of a run with L2 normalization and holds no QR event, "
        "so it cannot itself show the jump; the numbers above can. Its “CLoRA Loss: 0.2400” is what that formula gives "
        "for orthonormal A and B = 0, three adapters of rank 8: a constant that says nothing about the training."
    ),
    "size": (
        "Size of the evidence: {model}, {steps} steps of {batch} examples, an event every {every} steps, training "
        "examples repeated {repeated}, {seeds}. Jumps are exact measurements; differences of the final losses between "
        "arms are within the noise of so few runs unless they are large."
    ),
    "or": "or",
    "one seed": "one seed",
    "seeds": "{seeds} seeds",
}

VIETNAMESE = {
    "jump": (
        "Vì sao loss nhảy vọt: QR giữ Q và bỏ R đi, ở cả A lẫn B, nên tích B A không còn là điều mô hình vừa học. Ở "
        "đây mỗi lần như vậy B A thay đổi {change} so với chuẩn của nó, và loss trên đúng những mẫu đó thay đổi trung "
        "bình {jump} nat mỗi token."
    ),
    "lengths": (
        "Vì sao chỉ chuẩn hóa L2 theo hàng thì không làm các hàng trực giao: nó đổi độ dài, còn góc không phụ thuộc "
        "vào độ dài. Cosine giữa các hàng của A chỉ đổi nhiều nhất {moved:.0e}; ngay sau đó giá trị lớn nhất vẫn là "
        "{reached:.2f}. Chuẩn hóa các cột rất nhỏ của B thực chất là một bước tối ưu lớn bị ẩn đi: loss thay đổi "
        "{jump} nat."
    ),
    "quiet": (
        "Cách nào không gây nhảy loss: phần lấy ra khỏi A được nhân bù vào B, (M A, B M^-1) với mọi M khả nghịch, nên "
        "B A giữ nguyên. Các hàng trực giao mà loss không nhảy (thay đổi lớn nhất, tính bằng nat): {names}."
    ),
    "log": (
        "Về log huấn luyện đã nêu ra câu hỏi: đó là lần chạy dùng L2 và không có lần QR nào, nên tự nó không cho thấy "
        "cú nhảy; các con số trên thì có. “CLoRA Loss: 0.2400” đúng bằng giá trị của công thức khi A trực chuẩn và B = "
        "0, với ba adapter hạng 8: một hằng số, không nói gì về quá trình huấn luyện."
    ),
    "size": (
        "Quy mô bằng chứng: {model}, {steps} bước, mỗi bước {batch} mẫu, sự kiện sau mỗi {every} bước, mẫu huấn luyện "
        "lặp lại {repeated}, {seeds}. Cú nhảy được đo chính xác; khác biệt nhỏ về loss cuối cùng giữa các cách nằm "
        "trong nhiễu của ít lần chạy như vậy."
    ),
    "or": "hoặc",
    "one seed": "1 seed",
    "seeds": "{seeds} seed",
}

WORDS = {"en": ENGLISH, "vi": VIETNAMESE}
