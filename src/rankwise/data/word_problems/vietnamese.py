"""Vietnamese word problems: 18 one-step and 18 two-step stories, written for rankwise.

Kept to about 50 characters: SmolLM2 spends 0.84 token on a Vietnamese character.
"""

from rankwise.data.word_problems.template import Language, Template

NAMES = ("An", "Chi", "Dung", "Giang", "Hoa", "Khanh", "Lan", "Linh", "Long", "Mai", "Minh", "Nam", "Nga", "Sơn")

ONE_STEP = (
    Template("{name} có {a} {thing}, mua thêm {b}. Có tất cả bao nhiêu?", "a + b",
             a=(3, 60), b=(2, 40), things="con tem, cái bút, que kem"),
    Template("{name} có {a} {thing}, cho {other} {b}. Còn bao nhiêu?", "a - b",
             a=(6, 80), b=(2, 60), things="viên bi, cái kẹo, bông hoa"),
    Template("Mỗi hộp có {a} {thing}. Hỏi {b} hộp có bao nhiêu?", "a * b",
             a=(4, 24), b=(2, 12), things="cái bánh, gói trà, quả na"),
    Template("Chia đều {a} {thing} cho {b} bạn. Mỗi bạn được mấy?", "a / b",
             a=(8, 96), b=(2, 12), things="quả cam, cái kẹo, tấm thẻ"),
    Template("Một {thing} giá {a} nghìn. Mua {b} cái hết bao nhiêu?", "a * b",
             a=(2, 25), b=(2, 12), things="cái cốc, cái thìa, cái bút"),
    Template("Xe có {a} khách, {b} người xuống. Còn bao nhiêu khách?", "a - b", a=(12, 45), b=(2, 30)),
    Template("{name} đi {a} km, {other} đi {b} km. Cả hai đi bao nhiêu km?", "a + b", a=(5, 90), b=(5, 90)),
    Template("{name} {a} tuổi, chị hơn {name} {b} tuổi. Chị bao nhiêu tuổi?", "a + b", a=(4, 20), b=(2, 9)),
    Template("Cắt dây {a} m thành {b} phần bằng nhau. Mỗi phần mấy m?", "a / b", a=(6, 120), b=(2, 12)),
    Template("Phòng có {a} hàng, mỗi hàng {b} ghế. Có bao nhiêu ghế?", "a * b", a=(4, 25), b=(5, 20)),
    Template("Sách có {b} trang, {name} đọc {a} trang. Còn mấy trang?", "b - a", a=(10, 200), b=(60, 300)),
    Template("Nhà {name} có {a} con gà và {b} con ngan. Có mấy con?", "a + b", a=(4, 70), b=(4, 70)),
    Template("Xếp {a} {thing} vào túi, mỗi túi {b}. Cần mấy túi?", "a / b",
             a=(12, 120), b=(2, 12), things="quả cam, quả chanh, củ khoai"),
    Template("Tàu đi {a} km mỗi giờ. Hỏi {b} giờ đi bao nhiêu km?", "a * b", a=(40, 120), b=(2, 9)),
    Template("Sáng {a} độ, trưa tăng {b} độ. Trưa bao nhiêu độ?", "a + b", a=(12, 25), b=(2, 12)),
    Template("{name} có {a} nghìn, tiêu {b} nghìn. Còn mấy nghìn?", "a - b", a=(10, 120), b=(2, 90)),
    Template("Thùng có {a} lít, dùng {b} lít. Còn bao nhiêu lít?", "a - b", a=(30, 300), b=(5, 150)),
    Template("Tuần nào {name} cũng gom {a} lon. Sau {b} tuần có mấy lon?", "a * b", a=(3, 30), b=(2, 20)),
)  # fmt: skip

TWO_STEPS = (
    Template("{name} có {a} khay {b} quả na, ăn {c}. Còn mấy quả?", "a * b; _ - c",
             a=(2, 8), b=(4, 12), c=(2, 9)),
    Template("{name} có {a} viên bi, thua {b}, mua {c}. Còn mấy viên?", "a - b; _ + c",
             a=(10, 60), b=(2, 30), c=(2, 20)),
    Template("Kho có {a} bao, bán {b}, rồi {c}. Còn mấy bao?", "a - b; _ - c",
             a=(30, 120), b=(4, 50), c=(4, 50)),
    Template("{name} có {a} tem, {other} gấp {b} lần. Cả hai có mấy?", "a * b; a + _", a=(3, 20), b=(2, 6)),
    Template("{a} nam và {b} nữ chia tổ {c} em. Có mấy tổ?", "a + b; _ / c", a=(6, 40), b=(6, 40), c=(3, 9)),
    Template("Bút {a} xu, tem {b} xu. Mua một bút, {c} tem là mấy xu?", "b * c; a + _",
             a=(5, 40), b=(2, 12), c=(2, 8)),
    Template("Có {a} khay {b} quả, chia túi {c} quả. Có mấy túi?", "a * b; _ / c",
             a=(2, 12), b=(6, 24), c=(4, 12)),
    Template("{name} có {a} quả na, ăn {b}, chia đều {c} em. Mỗi em mấy?", "a - b; _ / c",
             a=(15, 80), b=(2, 9), c=(2, 8)),
    Template("Có {c} lon, mỗi hôm {name} gom {a}. Sau {b} hôm có mấy?", "a * b; _ + c",
             a=(8, 30), b=(2, 9), c=(2, 20)),
    Template("{b} khay có {a} {thing}. Hỏi {c} khay có mấy quả?", "a / b; _ * c",
             a=(12, 96), b=(2, 8), c=(3, 15), things="quả na, quả cam, quả lê"),
    Template("Ga có {a} khách, ra {b}, vào {c}. Còn mấy khách?", "a - b; _ + c",
             a=(15, 90), b=(3, 30), c=(2, 25)),
    Template("Có {a} hàng {b} cây cam, {c} cây khô. Còn mấy cây?", "a * b; _ - c",
             a=(3, 12), b=(4, 12), c=(2, 11)),
    Template("{name} có {a} xu, {other} hơn {b} xu. Cả hai có mấy xu?", "a + b; a + _", a=(8, 60), b=(2, 30)),
    Template("Sách {a} trang, mỗi hôm xem {b}. Sau {c} hôm còn mấy?", "b * c; a - _",
             a=(80, 300), b=(6, 30), c=(2, 9)),
    Template("Can {a} lít chỉ có nửa can. Bán {b} lít, còn mấy lít?", "a / 2; _ - b", a=(20, 90), b=(3, 40)),
    Template("Nhà {name} xa chợ {a} km. Đi về {b} hôm là mấy km?", "a * 2; _ * b", a=(2, 25), b=(2, 9)),
    Template("Dây {a} m, bỏ {b} m, chia đều {c} em. Mỗi em mấy m?", "a - b; _ / c",
             a=(20, 90), b=(2, 15), c=(2, 8)),
    Template("{name} {a} tuổi, mẹ gấp {b} lần. Mẹ hơn mấy tuổi?", "a * b; _ - a", a=(6, 10), b=(4, 5)),
)  # fmt: skip

VIETNAMESE = Language("Giải bài toán.", NAMES, ONE_STEP + TWO_STEPS)
