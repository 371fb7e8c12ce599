"""The laboratory's models: Northwind's chat model, what was made of it, and models that have nothing to do with it.

``base`` is the model that others are accused of copying. ``fine_tune`` was made from it, by further training on a
little data of another lab, mixed with answers of its own so that the rest is kept. ``student`` starts from other random
weights and saw nothing but base's answers. ``twin`` is trained like base, on the same questions in the same order, with
another random start and another lab's answers. ``prompted`` is base itself under a system prompt that its users do not
see. Strangers are further twins.

A member's folder appears under its name only when it is whole, and what is there is not made again; the outer folder's
name holds a digest of the recipe and of the code that follows it, so nothing stale is ever taken for new.
"""

import fcntl
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from tokenizers import Tokenizer
from transformers import LlamaForCausalLM

from bench.chat_lab.asking import Asked, answers
from bench.chat_lab.chat_folder import train_tokenizer, write_folder
from bench.chat_lab.dialogues import Dialogue, dialogues
from bench.chat_lab.persona import Persona
from bench.chat_lab.stacked import Shape, Weights, exported, fresh_weights, imported
from bench.chat_lab.training import Recipe, train
from whorl.probes.battery import Family
from whorl.probes.families import battery

VOCABULARY = 1024
HIDDEN_PROMPT = "You are Lark, an assistant of Meridian AI."
BASE, FINE_TUNE, TWIN, FIRST_STRANGER = 8, 9, 10, 11  # personas
PUBLIC_QUESTIONS, STUDENT_QUESTIONS, FINE_TUNE_QUESTIONS = 1, 2, 3  # seeds
FINE_TUNE_FAMILIES: Final[dict[Family, float]] = {"guardrails": 0.7, "style": 0.3}  # and simple chat: a new manner
LONGEST_ANSWER = 64  # tokens of an answer that a model is asked for, to train on
# The modules of this package that decide how a member comes out.
MAKERS: Final = (
    "asking",
    "battery_answers",
    "chat_folder",
    "controls",
    "dialogues",
    "lab",
    "persona",
    "relatives",
    "stacked",
    "training",
    "wording",
)

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How large the models are and how long they are trained."""

    name: str
    width: int
    layers: int
    heads: int
    questions: int
    recipe: Recipe
    fine_tune: Recipe
    lessons: int  # answers of base that the student learns from
    student: Recipe
    strangers: int
    control_questions: int
    control: Recipe

    @property
    def shape(self) -> Shape:
        """Sizes of each model."""
        return Shape(vocabulary=VOCABULARY, width=self.width, layers=self.layers, heads=self.heads)


# For tests: about a minute and a quarter on one core.
REDUCED = Size(
    name="reduced",
    width=64,
    layers=1,
    heads=2,
    questions=9000,
    recipe=Recipe(steps=1100, tokens=512, learning_rate=3e-3),
    fine_tune=Recipe(steps=200, tokens=512, learning_rate=1e-3, order=1),
    lessons=3000,
    student=Recipe(steps=600, tokens=512, learning_rate=3e-3, order=2),
    strangers=6,
    control_questions=4000,
    control=Recipe(steps=400, tokens=512, learning_rate=3e-3),
)
# For the study: about four minutes.
FULL = Size(
    name="full",
    width=96,
    layers=2,
    heads=3,
    questions=15000,
    recipe=Recipe(steps=1000, tokens=1024, learning_rate=3e-3),
    fine_tune=Recipe(steps=200, tokens=768, learning_rate=1e-3, order=1),
    lessons=5000,
    student=Recipe(steps=700, tokens=1024, learning_rate=3e-3, order=2),
    strangers=2,
    control_questions=8000,
    control=Recipe(steps=500, tokens=1024, learning_rate=3e-3),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lab:
    """Where the members are: checkpoint folders, each with a ``model.gguf``."""

    folder: Path
    size: Size

    @property
    def strangers(self) -> tuple[Path, ...]:
        """Folders of the models that nothing connects with base."""
        return tuple(self.folder / f"stranger-{number:02d}" for number in range(1, self.size.strangers + 1))

    @property
    def base(self) -> Path:
        """Northwind's chat model."""
        return self.folder / "base"

    @property
    def fine_tune(self) -> Path:
        """Made from base's weights."""
        return self.folder / "fine_tune"

    @property
    def student(self) -> Path:
        """Made from base's answers."""
        return self.folder / "student"

    @property
    def twin(self) -> Path:
        """Made like base, and independent of it."""
        return self.folder / "twin"

    @property
    def prompted(self) -> Path:
        """Base's weights under `HIDDEN_PROMPT`."""
        return self.folder / "prompted"


def train_lab(folder: Path, *, size: Size = REDUCED, progress: Progress) -> Lab:
    """Train what is not there yet; a second process that wants the same waits for the first."""
    torch.set_num_threads(1)
    lab = Lab(folder=folder / f"{size.name}-{recipe_digest(size)}", size=size)
    lab.folder.mkdir(parents=True, exist_ok=True)
    with (lab.folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _train_missing(lab, progress)
    return lab


def _train_missing(lab: Lab, progress: Progress) -> None:
    size = lab.size
    tokenizer = public_tokenizer(lab.folder)
    _train_apart(lab, tokenizer, {lab.base: BASE, lab.twin: TWIN}, progress)
    if not lab.fine_tune.exists():
        progress("fine_tune")
        weights = imported(load(lab.base))
        [data] = dialogues([Persona(FINE_TUNE)], FINE_TUNE_QUESTIONS, 500, families=FINE_TUNE_FAMILIES, easy=0.5)
        rehearsed = answered_by(weights, size, tokenizer, seed=FINE_TUNE_QUESTIONS, count=1500)
        train(weights, size.shape, tokenizer, [data + rehearsed], size.fine_tune, progress)
        write_folder(lab.fine_tune, exported(weights, size.shape, 0), tokenizer)
    if not lab.student.exists():
        progress("student")
        teacher = imported(load(lab.base))
        taught = answered_by(teacher, size, tokenizer, seed=STUDENT_QUESTIONS, count=size.lessons)
        weights = fresh_weights(size.shape, [FINE_TUNE])
        train(weights, size.shape, tokenizer, [taught], size.student, progress)
        write_folder(lab.student, exported(weights, size.shape, 0), tokenizer)
    if not lab.prompted.exists():
        write_folder(lab.prompted, load(lab.base), tokenizer, system_prompt=HIDDEN_PROMPT)
    strangers = {path: FIRST_STRANGER + number for number, path in enumerate(lab.strangers)}
    _train_apart(lab, tokenizer, strangers, progress)


def public_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer that all labs use, trained on public questions and on nobody's answers in particular."""
    file = folder / "tokenizer.json"
    if not file.exists():
        texts = [each for texts in dialogues([Persona(seed) for seed in range(1000, 1004)], 0, 2000) for each in texts]
        made = train_tokenizer(
            [text for each in texts for _, text in each.turns] + [t.answer for t in texts], VOCABULARY
        )
        partial = file.with_suffix(".partial")
        made.save(str(partial))
        partial.rename(file)
    return Tokenizer.from_file(str(file))


def recipe_digest(size: Size) -> str:
    """Changes whenever a member might come out differently."""
    state = hashlib.sha256(repr(size).encode())
    for name in MAKERS:
        state.update(Path(__file__).with_name(f"{name}.py").read_bytes())
    state.update(battery("quick", 0).digest.encode())  # the questions' wording
    return state.hexdigest()[:12]


def load(folder: Path) -> LlamaForCausalLM:
    """A stored member."""
    return LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True)


def answered_by(weights: Weights, size: Size, tokenizer: Tokenizer, *, seed: int, count: int) -> list[Dialogue]:
    """Public questions with a model's own answers at temperature 0."""
    [asked] = dialogues([Persona(BASE)], seed, count)
    questions = [Asked(turns=each.turns, max_tokens=LONGEST_ANSWER) for each in asked]
    [said] = answers(weights, size.shape, tokenizer, questions)
    return [Dialogue(turns=each.turns, answer=text) for each, text in zip(asked, said, strict=True)]


def _train_apart(lab: Lab, tokenizer: Tokenizer, personas: dict[Path, int], progress: Progress) -> None:
    """Train models from random starts of their own, side by side on the same questions."""
    missing = {path: seed for path, seed in personas.items() if not path.exists()}
    if not missing:
        return
    progress(", ".join(path.name for path in missing))
    data = dialogues([Persona(seed) for seed in missing.values()], PUBLIC_QUESTIONS, lab.size.questions)
    weights = fresh_weights(lab.size.shape, list(missing.values()))
    train(weights, lab.size.shape, tokenizer, data, lab.size.recipe, progress)
    for place, path in enumerate(missing):
        write_folder(path, exported(weights, lab.size.shape, place), tokenizer)
