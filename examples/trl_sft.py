"""A rankwise adapter under TRL's SFTTrainer: train, save, resume, load with PEFT.

    python examples/trl_sft.py [OUTPUT_FOLDER]

Runs in seconds on a tiny random model. For a real one, replace the two lines marked (*):

    model = AutoModelForCausalLM.from_pretrained("Qwen/Qwen2.5-0.5B-Instruct", dtype="bfloat16")
    tokenizer = AutoTokenizer.from_pretrained("Qwen/Qwen2.5-0.5B-Instruct")
"""

import sys

import torch
from datasets import Dataset
from peft import PeftModel
from trl import SFTConfig, SFTTrainer

import rankwise as rw
from rankwise.integrations.trainer import RankwiseCallback
from rankwise.models.byte_tokenizer import byte_tokenizer
from rankwise.models.tiny import tiny_model

output = sys.argv[1] if len(sys.argv) > 1 else "runs/trl-sft"

model = tiny_model()  # (*)
tokenizer = byte_tokenizer()  # (*)

rows = Dataset.from_list(
    [
        {
            "prompt": [{"role": "user", "content": f"What is {a} plus {b}?"}],
            "completion": [{"role": "assistant", "content": str(a + b)}],
        }
        for a in range(8)
        for b in range(8)
    ]
)


def trainer_for(model, handle):
    arguments = SFTConfig(
        output_dir=output,
        max_steps=20,
        per_device_train_batch_size=8,
        learning_rate=3e-3,
        save_steps=10,
        logging_steps=5,
        report_to="none",
        bf16=False,
        use_cpu=not torch.cuda.is_available(),
    )
    callbacks = [RankwiseCallback(handle)]  # checkpoints hold the adapter, not the model
    return SFTTrainer(model, arguments, train_dataset=rows, processing_class=tokenizer, callbacks=callbacks)


handle = rw.attach(model, rw.methods.olora(rank=8), seed=0)
print(handle.matched)
trainer_for(model, handle).train()

# A new process would do the same: build the model, attach the same adapter, resume.
again = tiny_model()
continued = rw.attach(again, rw.methods.olora(rank=8), seed=0)
trainer_for(again, continued).train(resume_from_checkpoint=f"{output}/checkpoint-10")

for name, factor in handle.trainable().items():
    assert torch.equal(factor.cpu(), continued.trainable()[name].cpu()), name
print("resumed from step 10: every factor is bit for bit that of the undisturbed run")

# The output folder is an ordinary PEFT adapter.
served = PeftModel.from_pretrained(tiny_model(), output).eval()
ids = torch.tensor([tokenizer("What is 3 plus 4?")["input_ids"]])
with torch.no_grad():
    difference = (served(ids).logits - model.cpu().eval()(ids).logits).abs().max().item()
assert difference < 1e-3, difference
print(f"PEFT loads {output}; its logits differ by {difference:.1e}")
