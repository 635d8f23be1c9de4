"""Where examples come from. Open with :func:`load_data`; it hands over tokens with a mask of what to learn."""

from rankwise.data.examples import CompletionStyle, Encoded, Example, ExampleSplits, Limits, Message, Splits
from rankwise.data.input_form import InputForm, asked_in, common_form, form_of, written_in
from rankwise.data.load import NAMES, is_generated, load_data, load_examples, load_test, preview
from rankwise.data.profile import Profile, SplitProfile, profile

__all__ = [
    "NAMES",
    "CompletionStyle",
    "Encoded",
    "Example",
    "ExampleSplits",
    "InputForm",
    "Limits",
    "Message",
    "Profile",
    "SplitProfile",
    "Splits",
    "asked_in",
    "common_form",
    "form_of",
    "is_generated",
    "load_data",
    "load_examples",
    "load_test",
    "preview",
    "profile",
    "written_in",
]

PUBLIC = (
    "answers",
    "bad_rows",
    "code_book",
    "columns",
    "control",
    "ends",
    "hub",
    "load",
    "profile",
    "prompts",
    "readers",
    "render",
    "spelled",
    "unicode",
)
"""Modules that other rooms import."""
