"""The others: TRL + PEFT as it comes (D) and tuned (T), a hand-written torch.compile loop (C), our plain loop (R)."""

from __future__ import annotations

import copy
import threading
from typing import Any

import torch
from setting import Setting, Step

from rankwise.adapters import Full, attach
from rankwise.data import Encoded
from rankwise.engine import TrainSpec
from rankwise.engine.batches import collate
from rankwise.engine.reference import example_nll
from rankwise.engine.train import make_optimizer


def trl(setting: Setting, spec: TrainSpec, folder: str, tuned: dict[str, Any] | None = None) -> tuple[Step, Step]:
    """Return (one optimizer step, one evaluation) of SFTTrainer on the examples our spec reads.

    Args:
        tuned: None for TRL's defaults, else ``micro_batch`` and ``sort`` (length grouping inside a step); then
            checkpointing is off and adapters train on bf16 weights.
    """
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import TrainerCallback
    from trl import SFTConfig, SFTTrainer

    def rows(examples: list[Encoded]) -> Any:
        labels = [[t if m else -100 for t, m in zip(e.input_ids, e.target_mask, strict=True)] for e in examples]
        return Dataset.from_dict({"input_ids": [list(e.input_ids) for e in examples], "labels": labels})

    windows = [setting.window(spec, step) for step in range(spec.steps)]
    if tuned and tuned["sort"]:
        windows = [sorted(w, key=lambda e: -len(e.input_ids)) for w in windows]
    full = isinstance(spec.target, Full)
    micro_batch = tuned["micro_batch"] if tuned else 4
    arguments = SFTConfig(
        output_dir=folder,
        per_device_train_batch_size=micro_batch,
        per_device_eval_batch_size=8,
        gradient_accumulation_steps=spec.batch // micro_batch,
        max_steps=spec.steps,
        learning_rate=spec.lr,
        lr_scheduler_type="constant",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
        bf16=True,
        max_length=None,
        logging_steps=10**6,
        remove_unused_columns=False,
        dataset_kwargs={"skip_prepare_dataset": True},
        **({"gradient_checkpointing": False} if tuned else {}),
    )
    model = copy.deepcopy(setting.base.model)
    if full or not tuned:  # full fine-tuning of bf16 weights alone would round most steps away
        model = model.float()
    config = None
    if not full:
        config = LoraConfig(r=spec.target.rank, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")  # type: ignore[union-attr]
    go, done = threading.Semaphore(0), threading.Semaphore(0)

    class Pause(TrainerCallback):  # type: ignore[misc]
        """Runs the trainer one optimizer step at a time, in a thread that waits for its turn."""

        def on_step_begin(self, *args: object, **kwargs: object) -> None:
            go.acquire()

        def on_step_end(self, *args: object, **kwargs: object) -> None:
            done.release()

    class InOrder(SFTTrainer):  # type: ignore[misc]
        """Reads the examples in the order given."""

        def _get_train_sampler(self, dataset: Any = None) -> Any:
            return torch.utils.data.SequentialSampler(dataset if dataset is not None else self.train_dataset)

    trainer = InOrder(
        model=model.requires_grad_(full),
        args=arguments,
        train_dataset=rows([e for w in windows for e in w]),
        eval_dataset=rows(list(setting.splits.selection)),
        processing_class=setting.base.tokenizer,
        peft_config=config,
        callbacks=[Pause()],
    )
    thread = threading.Thread(target=trainer.train, daemon=True)
    left = [spec.steps]

    def step() -> None:
        # Started late and joined at the end: trainers share accelerate's state, which a new one resets.
        if not thread.is_alive():
            thread.start()
        go.release()
        done.acquire()
        left[0] -= 1
        if not left[0]:
            thread.join()

    return step, trainer.evaluate


def compiled(setting: Setting, spec: TrainSpec) -> Step:
    """Hand-written: PEFT on bf16 weights, sorted passes, every decoder layer compiled, head on targets only."""
    from peft import LoraConfig, get_peft_model

    rank = spec.target.rank  # type: ignore[union-attr]
    config = LoraConfig(r=rank, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
    causal = copy.deepcopy(setting.base.model)
    peft = get_peft_model(causal, config)
    parameters = [p for p in peft.parameters() if p.requires_grad]
    for layer in causal.model.layers:
        layer.compile(dynamic=True)
    optimizer = torch.optim.AdamW(parameters, lr=spec.lr, fused=True)
    examples = sorted(setting.window(spec, 0), key=lambda e: -len(e.input_ids))
    targets = sum(e.targets for e in examples)
    batches = [collate(examples[i : i + 4]) for i in range(0, len(examples), 4)]

    def step() -> None:
        for batch in batches:
            hidden = causal.model(input_ids=batch.ids, use_cache=False).last_hidden_state
            logits = causal.lm_head(hidden[batch.rows, batch.columns]).float()
            loss = torch.nn.functional.cross_entropy(logits, batch.next_ids, reduction="sum") / targets
            loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return step


def plain(setting: Setting, spec: TrainSpec) -> Step:
    """The loop of engine/reference.py: one example at a time, stock logits."""
    model = copy.deepcopy(setting.base.model)
    parameters = attach(model, spec.target, seed=0).trainable()  # type: ignore[arg-type]
    optimizer = make_optimizer(parameters, spec)
    examples = setting.window(spec, 0)
    targets = sum(e.targets for e in examples)

    def step() -> None:
        for example in examples:
            (example_nll(model, example) / targets).backward()
        torch.nn.utils.clip_grad_norm_(list(parameters.values()), spec.clip)
        optimizer.step()
        optimizer.zero_grad()

    return step
