"""An attached adapter under transformers' ``Trainer`` and TRL's ``SFTTrainer``: train, save, resume exactly.

Left alone, Trainer would write the whole model at every checkpoint, with the adapter's tensors among the base's, and
lose the dropout stream. While a :class:`RankwiseCallback` holds an adapter, ``model.save_pretrained`` writes the
adapter, as a ``PeftModel``'s does:

checkpoint-N/adapter_config.json, adapter_model.safetensors, rankwise.json   PEFT layout, loads anywhere
checkpoint-N/model.safetensors    what Trainer reads on resume: the adapter's own tensors, its spec, its dropout stream,
                                  its events' streams and memory

Trainer itself keeps optimizer, schedule, order of data and global random state in the same folder.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel, TrainerCallback
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR
from transformers.utils import SAFE_WEIGHTS_NAME

from rankwise.adapters import Handle, save
from rankwise.adapters.parametrizations.frozen_pairs import set_merged
from rankwise.errors import UsageError
from rankwise.integrations.trainer_events import EVENT, TrainerEvents
from rankwise.tensor_files import digest_of, write_tensors

STREAM, SPEC, DIGEST = "rankwise.dropout_stream", "rankwise.spec", "rankwise.digest"


class RankwiseCallback(TrainerCallback):
    """Saves and restores one attached adapter: ``SFTTrainer(model, ..., callbacks=[RankwiseCallback(handle)])``.

    ``trainer.train(resume_from_checkpoint=True)`` continues bit for bit. At the end the adapter is in ``output_dir``
    (after ``load_best_model_at_end``, the best one). The adapter's events and penalties act at the steps, and in the
    way, they do under :func:`rankwise.train`; ``fired`` holds their records, which ``trainer_state.json`` keeps too.

    Args:
        handle: from :func:`rankwise.attach` or :func:`rankwise.load`, on the model that the Trainer gets.
        probe: returns the loss on a batch of your choice, which events record before and after they act.

    Raises:
        UsageError: not a Hugging Face model, or another adapter of this model is already under a callback.
    """

    def __init__(self, handle: Handle, probe: Callable[[], float] | None = None) -> None:
        if not isinstance(handle.model, PreTrainedModel):
            raise UsageError(
                f"RankwiseCallback needs a Hugging Face model, found {type(handle.model).__name__}; "
                "train it in a plain loop and save with rankwise.save(handle, folder)."
            )
        self.handle = handle
        self.events = TrainerEvents(handle, probe)
        AdapterSaver(handle, self.events)

    @property
    def fired(self) -> list[dict[str, Any]]:
        """What the adapter's events did, in order, since this callback was made."""
        return self.events.fired

    def on_train_begin(self, args: Any, state: Any, control: Any, **objects: Any) -> None:
        """Refuse, before the first step, what would train or save something else than the adapter."""
        handle = self.handle
        model: Any = objects["model"]
        head = model.get_output_embeddings()
        if model is not handle.model:
            raise UsageError("the Trainer holds another model than the adapter is attached to; give it that model.")
        if not handle.layers or handle.merged:
            raise UsageError(f"adapter {handle.name!r} is merged or detached; nothing of it would train.")
        if args.deepspeed or args.fsdp:
            raise UsageError("RankwiseCallback saves unsharded models only; train without DeepSpeed and FSDP.")
        if type(args).__module__.startswith("trl.") and any(layer is head for layer in handle.layers.values()):
            raise UsageError(
                "TRL multiplies by the output head's weight itself, so an adapter there would never train; "
                "leave the head out of the placement (all-linear does)."
            )
        optimizer = handle.adapter.optimizer
        given = getattr(objects.get("optimizer"), "optimizer", objects.get("optimizer"))
        if optimizer.rule is not torch.optim.AdamW and not isinstance(given, optimizer.rule):
            raise UsageError(
                f"the adapter wants its own step, {optimizer.describe()}, the Trainer has {type(given).__name__}; give "
                "it optimizers=(handle.adapter.optimizer.make(handle.adapter.optimizer.groups(handle.trainable(), lr), "
                "lr, (0.9, 0.999), 1e-8), None)."
            )
        rates = {id(p): group.get("initial_lr", group["lr"]) for group in _groups(objects) for p in group["params"]}
        shares = [
            rates[id(p)] / optimizer.multiplier(name.rpartition(".")[2], p.ndim)
            for name, p in handle.trainable().items()
            if id(p) in rates
        ]
        if shares and max(shares) > min(shares) * (1 + 1e-9):
            raise UsageError(
                f"the adapter wants {optimizer.describe() or 'one learning rate'}, the Trainer's optimizer has other "
                "rates; give it optimizers=(torch.optim.AdamW(handle.adapter.optimizer.groups(handle.trainable(), lr)),"
                " None)."
            )
        ours = {id(parameter) for parameter in handle.trainable().values()}
        others = [name for name, p in model.named_parameters() if p.requires_grad and id(p) not in ours]
        if others:
            raise UsageError(
                f"{len(others)} tensors outside adapter {handle.name!r} would train and not be saved, first "
                f"{others[0]}; freeze them or detach the other adapter."
            )

        self.events.begin(args, state, objects["optimizer"])

    def on_step_begin(self, args: Any, state: Any, control: Any, **objects: Any) -> None:
        """Put the penalties' gradients in place, before the first pass of the window."""
        self.events.open_window(state.global_step + 1)

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **objects: Any) -> None:
        """Gradients are there."""
        self.events.before_step(state.global_step + 1)

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **objects: Any) -> None:
        """The step was taken; Trainer counts it later."""
        self.events.after_step(state.global_step + 1)

    def on_train_end(self, args: Any, state: Any, control: Any, **objects: Any) -> None:
        """Write the adapter into ``output_dir``."""
        if state.is_world_process_zero:
            save(self.handle, args.output_dir, base_model=base_name(self.handle))


class AdapterSaver:
    """Stands in for ``model.save_pretrained`` and reads back what it wrote when the model loads a state dict.

    A merged or detached adapter leaves the model its own ``save_pretrained``.
    """

    handle: Handle

    def __init__(self, handle: Handle, events: TrainerEvents) -> None:
        model: Any = handle.model
        earlier: Any = vars(model).get("save_pretrained")
        if isinstance(earlier, AdapterSaver):
            if earlier.handle is not handle and earlier.handle.layers:
                raise UsageError(
                    f"adapter {earlier.handle.name!r} of this model already trains under a RankwiseCallback; "
                    "detach it first: a Trainer checkpoint holds one adapter."
                )
            earlier.remove()
        self.handle, self.events = handle, events
        self.own = model.save_pretrained
        self.reading = False
        self.hooks = (
            model.register_load_state_dict_pre_hook(self._read),
            model.register_load_state_dict_post_hook(self._expect_no_base),
        )
        vars(model)["save_pretrained"] = self

    def remove(self) -> None:
        """Give the model its own ``save_pretrained`` back."""
        del vars(self.handle.model)["save_pretrained"]
        for hook in self.hooks:
            hook.remove()

    def __call__(
        self,
        save_directory: str | Path,
        is_main_process: bool = True,
        state_dict: dict[str, Tensor] | None = None,
        **options: Any,
    ) -> None:
        """Write the adapter; in a Trainer's checkpoint folder also what it needs to resume."""
        if not self.handle.layers or self.handle.merged:
            self.own(save_directory, is_main_process=is_main_process, state_dict=state_dict, **options)
            return
        if options:
            raise UsageError(
                f"save_pretrained writes adapter {self.handle.name!r} while it is attached and has no option "
                f"{next(iter(options))!r}; merge or detach the adapter to save the whole model."
            )
        if not is_main_process:
            return
        folder = Path(save_directory)
        save(self.handle, folder, base_model=base_name(self.handle))
        if folder.name.startswith(PREFIX_CHECKPOINT_DIR):
            tensors = self._state()
            stated = torch.frombuffer(bytearray(digest_of(tensors).encode()), dtype=torch.uint8)
            write_tensors(folder / SAFE_WEIGHTS_NAME, {**tensors, DIGEST: stated})

    def _tensors(self) -> dict[str, Tensor]:
        """The adapter's part of ``model.state_dict()``: factors and frozen starts."""
        name = self.handle.name
        return {
            f"{path}.adapters.{name}.{key}": value.detach()
            for path, slot in self.handle.slots.items()
            for key, value in slot.state_dict().items()
        }

    def _state(self) -> dict[str, Tensor]:
        tensors = {key: value.cpu().contiguous() for key, value in self._tensors().items()}
        spec = torch.frombuffer(bytearray(_spec(self.handle).encode()), dtype=torch.uint8)
        return {**tensors, **self.events.tensors(), SPEC: spec, STREAM: self.handle.generator.get_state()}

    def _read(self, module: Any, state_dict: dict[str, Tensor], prefix: str, *rest: Any) -> None:
        """Before a state dict is loaded: if it is one of ours, check that it fits and restore the dropout stream."""
        self.reading = bool(self.handle.layers) and SPEC in state_dict
        if not self.reading:
            return
        if DIGEST in state_dict:  # an earlier rankwise wrote none
            stated = bytes(state_dict.pop(DIGEST).tolist())
            if stated != digest_of(state_dict).encode():
                raise UsageError(
                    f"{SAFE_WEIGHTS_NAME} of the checkpoint is damaged: its tensors are not those that were written; "
                    "remove that checkpoint folder and resume from the one before it."
                )
        found = bytes(state_dict.pop(SPEC).tolist()).decode()
        self.events.loaded = {key: state_dict.pop(key) for key in list(state_dict) if key.startswith(EVENT)}
        if found == _spec(self.handle):
            self._merge_as_in(state_dict)
        if found != _spec(self.handle) or set(state_dict) != {*self._tensors(), STREAM}:
            raise UsageError(
                f"the checkpoint holds another adapter than the one attached ({self.handle.adapter!r}): its settings "
                f"are {found}. Attach that one to resume, or train without resume_from_checkpoint."
            )
        self.handle.generator.set_state(state_dict.pop(STREAM))

    def _merge_as_in(self, state_dict: dict[str, Tensor]) -> None:
        """Give every slot merged pairs of the checkpoint's shapes, so that loading finds a place for them."""
        for path, slot in self.handle.slots.items():
            prefix = f"{path}.adapters.{self.handle.name}.merged_"
            set_merged(slot, {key: state_dict[prefix + key] for key in ("A", "B") if prefix + key in state_dict})

    def _expect_no_base(self, module: Any, incompatible: Any) -> None:
        """After loading: the base is not in our checkpoints, so its keys are not missing."""
        if self.reading:
            ours = self._tensors()
            incompatible.missing_keys[:] = [key for key in incompatible.missing_keys if key in ours]
        self.reading = False


def _groups(objects: dict[str, Any]) -> list[dict[str, Any]]:
    optimizer = objects.get("optimizer")
    return [] if optimizer is None else list(optimizer.param_groups)


def base_name(handle: Handle) -> str | None:
    """Name or path the base was loaded from, for PEFT's config; None for a model made in code."""
    model: Any = handle.model
    return getattr(model.config, "_name_or_path", None) or None


def _spec(handle: Handle) -> str:
    return json.dumps(handle.adapter.to_dict(), sort_keys=True)
