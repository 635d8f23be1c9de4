"""TRL's SFTTrainer on the very windows that a spec of ours reads."""

from __future__ import annotations


def trainer_in_order(model, spec, splits, accumulation, folder, **options):
    """Return an SFTTrainer over ``spec.steps`` windows of ``spec``, in order, on the CPU and silent.

    Args:
        options: more of the trainer's own arguments (callbacks).
    """
    from datasets import Dataset
    from torch.utils.data import SequentialSampler
    from trl import SFTConfig, SFTTrainer

    from rankwise.engine.batches import window
    from rankwise.models import byte_tokenizer

    class InOrder(SFTTrainer):
        def _get_train_sampler(self, dataset=None):
            return SequentialSampler(dataset if dataset is not None else self.train_dataset)

    rows = [splits.train[i] for step in range(spec.steps) for i in window(spec, len(splits.train), step)]
    labels = [[t if m else -100 for t, m in zip(e.input_ids, e.target_mask, strict=True)] for e in rows]
    data = Dataset.from_dict({"input_ids": [list(e.input_ids) for e in rows], "labels": labels})
    arguments = SFTConfig(
        output_dir=str(folder),
        per_device_train_batch_size=spec.batch // accumulation,
        gradient_accumulation_steps=accumulation,
        max_steps=spec.steps,
        learning_rate=spec.lr,
        lr_scheduler_type="constant",
        max_grad_norm=spec.clip,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        bf16=False,
        gradient_checkpointing=False,
        use_cpu=True,
        max_length=None,
        completion_only_loss=True,
        disable_tqdm=True,
        dataset_kwargs={"skip_prepare_dataset": True},
        remove_unused_columns=False,
        seed=0,
    )
    return InOrder(model=model, args=arguments, train_dataset=data, processing_class=byte_tokenizer(), **options)
