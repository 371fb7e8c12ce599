"""A checkpoint folder as an endpoint: transformers answers in this process, one question at a time.

Decoding is plain: the most probable token at temperature 0, else a draw from the whole distribution at the question's
temperature. The folder's own sampling settings (top-k, penalties, beams) are not used, so that the answers speak of the
weights alone. A folder is hostile until read: safetensors only, no code and no adapter of its own, nothing fetched, and
its chat template, a program, runs in a process of its own (`whorl.endpoints.chat_template`).
"""

import asyncio
import json
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from whorl.core.errors import CheckpointError, InputError, UnsupportedError
from whorl.endpoints.chat_template import LONGEST_TEMPLATE, ChatTemplate
from whorl.endpoints.checkpoint_folder import read_config, refuse_large_tokenizer, refuse_unsafe_weights, short
from whorl.endpoints.exchange import EndpointError, EndpointName, Finish, Question, Reply, TokenLogprob, Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class _Model:
    """What was loaded from a folder."""

    model: Any
    tokenizer: Any
    ends: tuple[int, ...]  # tokens that end an answer
    window: int | None  # longest sequence that the model was made for
    template: ChatTemplate | None


@dataclass(slots=True, kw_only=True)
class _Answer:
    """One answer while it is generated."""

    tokens: list[int]
    logprobs: list[TokenLogprob]


def open_local(
    folder: Path, *, device: str = "cpu", now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> "LocalEndpoint":
    """Load a Hugging Face checkpoint folder with its tokenizer and chat template.

    Without a chat template the turns' texts are joined by line breaks; the endpoint's name then says so.

    Raises
    ------
    CheckpointError
        If the configuration, weights or tokenizer are missing, broken, or do not belong together.
    UnsupportedError
        If the folder wants code of its own, holds only pickled weights or an adapter, or is of an architecture or
        quantisation that the installed transformers does not load.
    InputError
        If there is no such folder or device, or torch and transformers are not installed.
    """
    config = read_config(folder)
    refuse_unsafe_weights(folder, config)
    return LocalEndpoint(_load(folder, config, device), folder.resolve().name, now)


class LocalEndpoint:
    """A loaded checkpoint. Questions wait their turn in a thread of their own, so the event loop stays free.

    The same question always gives the same reply on the same machine: with a temperature the draw comes from the
    question's seed, or without one from its digest. Log-probabilities are the model's own, before any temperature.
    """

    def __init__(self, loaded: _Model, folder: str, now: Callable[[], datetime]) -> None:
        self._loaded: _Model | None = loaded
        self._now = now
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="whorl-local")
        self._closing = threading.Event()
        address = folder if loaded.template is not None else f"{folder} (no chat template: turns joined by line breaks)"
        self._name = EndpointName(kind="local", address=address, model="")

    @property
    def name(self) -> EndpointName:
        """The folder's name, without its path."""
        return self._name

    async def ask(self, question: Question) -> Reply:
        """Generate the reply; cancelling stops it at the next token.

        Raises
        ------
        EndpointError
            ``rejected`` if the question does not fit the model's window or its template refuses it, ``broken`` if the
            model cannot compute an answer or its template takes more time or memory than it may.
        """
        if self._loaded is None:
            raise RuntimeError("the endpoint is closed")
        cancelled = threading.Event()
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._thread, self._reply, self._loaded, question, cancelled)
        finally:
            cancelled.set()

    async def close(self) -> None:
        """Stop the answer that is being generated, if any, and let go of the model."""
        self._closing.set()
        loaded, self._loaded = self._loaded, None
        await asyncio.to_thread(self._thread.shutdown, cancel_futures=True)
        if loaded is not None and loaded.template is not None:
            loaded.template.close()

    def _reply(self, loaded: _Model, question: Question, cancelled: threading.Event) -> Reply:
        started, before = self._now(), time.monotonic()
        prompt = _prompt(loaded, question)
        ids = _token_ids(loaded, prompt)
        room = question.max_tokens if loaded.window is None else min(question.max_tokens, loaded.window - len(ids))
        if not ids or room < 1:
            found = f"{len(ids)} tokens" if ids else "no text"
            raise EndpointError("rejected", f"expected a question of 1 to {loaded.window} tokens, found {found}")
        answer = _generate(loaded, question, ids, room, lambda: cancelled.is_set() or self._closing.is_set())
        finish: Finish = "stop" if answer.tokens[-1] in loaded.ends else "length"
        spoken = answer.tokens[: -1 if finish == "stop" else None]
        text = str(loaded.tokenizer.decode(spoken, skip_special_tokens=True, clean_up_tokenization_spaces=False))
        asked = {"prompt": prompt, "max_tokens": room, "temperature": question.temperature, "seed": _seed(question)}
        return Reply(
            text=text,
            finish=finish,
            served_model=self._name.address,
            usage=Usage(prompt_tokens=len(ids), completion_tokens=len(answer.tokens)),
            logprobs=tuple(answer.logprobs) if question.top_logprobs else None,
            status=200,
            request=json.dumps(asked, ensure_ascii=False),
            response=json.dumps({"tokens": answer.tokens, "text": text}, ensure_ascii=False),
            started=started.isoformat(),
            seconds=time.monotonic() - before,
        )


def _seed(question: Question) -> int:
    """The question's seed, or 63 bits of its digest: two draws without a seed are independent, and repeatable."""
    seed = question.seed if question.seed is not None else int(question.digest.removeprefix("sha256:")[:16], 16)
    return seed % 2**63


def _prompt(loaded: _Model, question: Question) -> str:
    if loaded.template is None:
        return "\n".join(message.text for message in question.messages) + "\n"
    return loaded.template.render([{"role": message.role, "content": message.text} for message in question.messages])


def _token_ids(loaded: _Model, prompt: str) -> list[int]:
    # A template writes its own marks for the start of the text.
    ids = loaded.tokenizer(prompt, add_special_tokens=loaded.template is None)["input_ids"]
    return [int(token) for token in ids]


def _generate(loaded: _Model, question: Question, ids: list[int], room: int, stopped: Callable[[], bool]) -> _Answer:
    import torch
    from transformers import GenerationConfig

    answer = _Answer(tokens=[], logprobs=[])
    random = torch.Generator().manual_seed(_seed(question))

    def choose(_: Any, scores: Any) -> Any:
        """Pick the next token, note it, and leave no other choice to the decoder."""
        if stopped():
            raise EndpointError("broken", "the answer was no longer wanted")
        logits = scores[0].detach().to("cpu", torch.float64)
        if not bool(torch.isfinite(logits).all()):
            raise EndpointError("broken", "the model computes infinities or NaN; its weights are broken")
        if question.temperature > 0:
            scaled = (logits - logits.max()) / question.temperature  # at most 0: no overflow, however cold
            token = int(torch.multinomial(scaled.softmax(0), 1, generator=random))
        else:
            token = int(logits.argmax())
        answer.tokens.append(token)
        if question.top_logprobs:
            answer.logprobs.append(_logprob(loaded, logits.log_softmax(0), token, question.top_logprobs))
        forced = torch.full_like(scores, -torch.inf)
        forced[0, token] = 0
        return forced

    settings = GenerationConfig(  # type: ignore[no-untyped-call]
        max_new_tokens=room, do_sample=False, num_beams=1, eos_token_id=list(loaded.ends) or None, pad_token_id=0
    )
    given = torch.tensor([ids], device=loaded.model.device)
    try:
        with torch.inference_mode():
            loaded.model.generate(
                given, attention_mask=torch.ones_like(given), generation_config=settings, logits_processor=[choose]
            )
    except EndpointError:
        raise
    except Exception as error:  # whatever the model's code raises on weights and settings that it did not expect
        raise EndpointError("broken", f"the model fails on this question: {short(error)}") from error
    return answer


def _logprob(loaded: _Model, logprobs: Any, token: int, count: int) -> TokenLogprob:
    values, places = logprobs.topk(min(count, len(logprobs)))
    top = tuple((_text(loaded, place), value) for value, place in zip(values.tolist(), places.tolist(), strict=True))
    return TokenLogprob(token=_text(loaded, token), logprob=float(logprobs[token]), top=top)


def _text(loaded: _Model, token: int) -> str:
    return str(loaded.tokenizer.decode([token], clean_up_tokenization_spaces=False))


def _load(folder: Path, config: dict[str, Any], device: str) -> _Model:
    os.environ["HF_HUB_OFFLINE"] = "1"  # read when huggingface_hub is imported: nothing is fetched for a folder
    try:
        import torch
        import transformers
        from transformers.models.auto.configuration_auto import CONFIG_MAPPING
    except ImportError as error:
        problem = f"a local checkpoint needs torch and transformers, found {short(error)}; pip install 'whorl[local]'"
        raise InputError(problem) from error
    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    transformers.utils.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    if (kind := config.get("model_type")) not in CONFIG_MAPPING:
        own = "; it brings code of its own, which is never run" if "auto_map" in config else ""
        raise UnsupportedError(f"{folder}: transformers {transformers.__version__} knows no model type {kind!r}{own}")
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"expected a device such as 'cpu' or 'cuda', found {device!r}: {short(error)}") from error
    try:
        transformers.AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # every architecture checks its settings in its own way
        problem = f"expected settings of a {kind} model: {short(error)}"
        raise CheckpointError(problem, file=folder / "config.json") from error
    tokenizer = _load_tokenizer(folder)
    model = _load_weights(folder).to(device).eval()
    rows = model.get_input_embeddings().weight.shape[0]
    if (largest := max(tokenizer.get_vocab().values(), default=-1)) not in range(rows):
        problem = f"expected tokens from 0 to {rows - 1}, the embedding's rows; the largest is {largest}"
        raise CheckpointError(problem, file=folder / "tokenizer.json")
    window = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    ends = _ends(model.generation_config.eos_token_id) | _ends(tokenizer.eos_token_id)
    # Otherwise generate() takes from the folder's settings whatever a call leaves open.
    model.generation_config = transformers.GenerationConfig()  # type: ignore[no-untyped-call]
    return _Model(
        model=model,
        tokenizer=tokenizer,
        ends=tuple(sorted(ends)),
        window=window if isinstance(window, int) and window > 0 else None,
        template=_chat_template(folder, tokenizer),
    )


def _chat_template(folder: Path, tokenizer: Any) -> ChatTemplate | None:
    if tokenizer.chat_template is None:
        return None
    try:
        template = tokenizer.get_chat_template()
        special_tokens = json.loads(json.dumps(tokenizer.special_tokens_map, default=str))
    except (ValueError, TypeError) as error:  # several templates, and none of them the default
        raise CheckpointError(f"expected one chat template: {short(error)}", file=folder) from error
    if not isinstance(template, str) or len(template) > LONGEST_TEMPLATE:
        found = f"one of {len(template)}" if isinstance(template, str) else type(template).__name__
        raise CheckpointError(
            f"expected a chat template of at most {LONGEST_TEMPLATE} characters, found {found}", file=folder
        )
    return ChatTemplate(template, special_tokens)


def _load_tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    refuse_large_tokenizer(folder)
    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # tokenizers raises bare exceptions, transformers nearly every kind
        if "trust_remote_code" in str(error):
            problem = f"{folder}: its tokenizer is code of its own, which is never run"
            raise UnsupportedError(problem) from error
        raise CheckpointError(f"expected a tokenizer, found none that loads: {short(error)}", file=folder) from error


def _load_weights(folder: Path) -> Any:
    from transformers import AutoModelForCausalLM

    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            folder,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            attn_implementation="sdpa",
            dtype="auto",
            output_loading_info=True,
        )
    except ImportError as error:
        raise UnsupportedError(f"{folder}: needs a package that is not installed: {short(error)}") from error
    except Exception as error:  # whatever a configuration that lies makes transformers raise
        raise CheckpointError(f"expected a model that loads: {short(error)}", file=folder) from error
    model, loading = loaded
    # Loading fills missing tensors with random numbers and drops those without a place: another model would answer.
    for key, meaning in (("missing_keys", "missing"), ("unexpected_keys", "without a place")):
        if names := sorted(loading[key]):
            problem = (
                f"config.json and weights do not belong together: {len(names)} tensors {meaning}, e.g. {names[0]!r}"
            )
            raise CheckpointError(problem, file=folder)
    return model


def _ends(found: Any) -> set[int]:
    """The token ids in a setting that may be one, several, missing or anything at all."""
    return {token for token in (found if isinstance(found, list) else [found]) if type(token) is int}
