"""What the Text tab's events do; everything that a visitor sends is checked here."""

import secrets
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

import gradio as gr

from feedback.answer import Ask, Origin, Progress, Queue, first_difference
from feedback.rate import UnknownGeneration
from generators.base import SEEDS, InvalidRequest
from generators.text import FORMS, TextOptions, TextQueue
from ui.desk import FOLLOWED, Desk, State, may_come_back, sent, whole


class TextDesk(Desk):
    """What the tab's events do, for one language; everything a visitor sends is checked here."""

    task = "text"

    async def write(
        self,
        prompt: str,
        model: str,
        temperature: float,
        top_p: float,
        top_k: int,
        repetition_penalty: float,
        max_new_tokens: int,
        drafts: int,
        seed: int,
        lock_seed: bool,
        conversation: State | None,
        request: gr.Request,
    ) -> AsyncGenerator[tuple[Any, Any, Any]]:
        """Write drafts of a prompt; yields the state of the request, the seed and the talk."""
        try:
            queue = self.services.queue(model)
            options = TextOptions(
                temperature=temperature,
                top_p=top_p,
                top_k=whole("top_k", top_k),
                repetition_penalty=repetition_penalty,
                max_new_tokens=whole("max_new_tokens", max_new_tokens),
                drafts=whole("drafts", drafts),
                seed=whole("seed", seed) if lock_seed else secrets.randbelow(SEEDS),
            )
            inputs, parent = self.inputs_for(queue, prompt, conversation)
        except FOLLOWED as problem:
            yield self.problem(problem), gr.skip(), gr.skip()
            return
        ask = Ask(
            inputs=inputs,
            options=options,
            key_hash=self.services.key_hash(request),
            parent_id=parent,
            relation="turn" if parent else None,
        )
        async for view, talk in self.follow(queue, ask, request):
            yield view, options.seed, talk

    def inputs_for(
        self, queue: TextQueue, prompt: str, conversation: State | None
    ) -> tuple[State, str | None]:
        """A prompt, or, for a model that chats, the talk so far and a new message."""
        if queue.model is None or not queue.model.is_chat:
            return {"prompt": prompt}, None
        earlier = conversation or {}
        if earlier.get("model") != queue.name:
            earlier = {}
        messages = [*earlier.get("messages", []), {"role": "user", "content": prompt}]
        return {"messages": messages}, earlier.get("id")

    async def act(
        self, conversation: State | None, request: gr.Request, event: gr.EventData
    ) -> AsyncGenerator[tuple[Any, Any, Any]]:
        """Answer a button of a card: retry, continue, reproduce; or an example."""
        data = sent(event)
        action = data.get("action")
        if action == "pick":
            yield gr.skip(), picked(conversation, data.get("draft")), gr.skip()
            return
        try:
            begun = self.begin(data, conversation, request)
            queue = self.services.queue(begun.model)
        except FOLLOWED as problem:
            yield self.problem(problem), gr.skip(), gr.skip()
            return
        if action == "reproduce":
            yield gr.skip(), gr.skip(), await self.compare(queue, begun, request)
            return
        ask = self.ask_again(begun, action == "continue", request)
        async for view, talk in self.follow(queue, ask, request):
            yield view, talk, gr.skip()

    async def again(
        self, generation: str, action: str, request: gr.Request
    ) -> AsyncGenerator[State]:
        """Retry or continue one of your outputs; streams the state of the new request."""
        try:
            if action not in ("retry", "continue"):
                raise InvalidRequest("unknown_action", action=str(action)[:40])
            begun = self.begin({"generation": generation}, None, request)
            queue = self.services.queue(begun.model)
        except FOLLOWED as problem:
            yield self.problem(problem)
            return
        ask = self.ask_again(begun, action == "continue", request)
        async for view, _ in self.follow(queue, ask, request):
            yield view

    async def reproduce(self, generation: str, request: gr.Request) -> State:
        """Make one of your outputs again and compare: the same, or where it first differs."""
        try:
            begun = self.begin({"generation": generation}, None, request)
            queue = self.services.queue(begun.model)
            return await self.compare(queue, begun, request)
        except FOLLOWED as problem:
            return self.problem(problem)

    def begin(self, data: State, conversation: State | None, request: gr.Request) -> Origin:
        """What the button's card shows: kept, so in the database; or the last one of this page."""
        if data.get("action") == "example":
            model = next(iter(self.services.queues))
            inputs = {"prompt": data.get("prompt")}
            return Origin("", model, "", 0, inputs, TextOptions().as_json(), "", False)
        handle = data.get("generation")
        if isinstance(handle, str) and self.services.key_hash(request):
            return self.opened(handle, request)
        draft, last = data.get("draft"), (conversation or {}).get("last")
        if last is None or type(draft) is not int or not 0 <= draft < len(last["outputs"]):
            raise UnknownGeneration("nothing on this page")
        return Origin(
            id="",
            model=last["model"],
            weights_sha256="",
            draft=draft,
            inputs=last["inputs"],
            options=last["options"],
            output=last["outputs"][draft],
            stopped=False,
        )

    def ask_again(self, begun: Origin, goes_on: bool, request: gr.Request) -> Ask:
        options = TextOptions(**begun.options)
        options = replace(options, seed=secrets.randbelow(SEEDS))
        inputs = begun.inputs
        if goes_on:
            options = replace(options, drafts=1)
            inputs = {**inputs, "prefix": begun.output}
        return Ask(
            inputs=inputs,
            options=options,
            key_hash=self.services.key_hash(request),
            parent_id=begun.id or None,
            relation=("continue" if goes_on else "retry") if begun.id else None,
        )

    async def compare(self, queue: TextQueue, begun: Origin, request: gr.Request) -> State:
        """Make a kept output again and say whether it is the same; nothing new is kept."""
        say = self.language.error
        if queue.model is None or queue.model.weights.sha256 != begun.weights_sha256:
            return {"same": False, "message": say("version_gone", model=begun.model)}
        promised = queue.model.weights.verified  # else an engine was asked
        ask = Ask(begun.inputs, TextOptions(**begun.options), key_hash=None)
        again = ""
        async for progress in self.answers(queue, ask, request):
            if progress.snapshot.error or progress.snapshot.failed:
                return {"same": False, "message": self.failure(progress)["message"]}
            if progress.snapshot.phase == "done":
                if progress.snapshot.finish_reasons[begun.draft] == "error":
                    return {"same": False, "message": say("model_failed")}
                again = progress.snapshot.texts[begun.draft]
        if begun.stopped and again.startswith(begun.output):
            return {"same": True, "message": self.language.word("same_so_far")}
        at = first_difference(begun.output, again)
        if at is None:
            key = "same" if promised else "same_remote"
            return {"same": True, "message": self.language.word(key)}
        return {
            "same": False,
            "at": at,
            "message": self.language.word(
                "different" if promised else "different_remote",
                at=at + 1,
                before=begun.output[at : at + 12],
                again=again[at : at + 12],
            ),
        }

    def view(self, queue: Queue, ask: Ask, progress: Progress) -> State:
        """The state as web/static/main.js draws it."""
        snapshot = progress.snapshot
        phase = "loading" if queue.state == "loading" else snapshot.phase
        texts = snapshot.texts or [""] * ask.options.drafts
        drafts: list[State] = [
            {
                "draft": number,
                "generation": handle,
                "output": text,
                "tokens": snapshot.tokens[number] if snapshot.tokens else 0,
                "finish_reason": (
                    snapshot.finish_reasons[number] if snapshot.finish_reasons else None
                ),
                "feedback": {},
            }
            for number, (text, handle) in enumerate(
                zip(texts, self.handles(ask, progress, len(texts)), strict=True)
            )
        ]
        return {
            "phase": phase,
            "ahead": snapshot.ahead,
            "request": {
                "request_id": ask.request_id,
                "task": "text",
                "model": queue.name,
                "poem": queue.model is not None and queue.model.writes_poems,
                "prompt": ask.inputs.get("prompt"),
                "messages": ask.inputs.get("messages"),
                "options": self.told_options(queue, ask, progress),
                "drafts": drafts,
            },
        }

    def remembered(self, queue: Queue, ask: Ask, progress: Progress) -> State:
        """What the next turn and the buttons of unkept drafts start from; the server keeps it."""
        texts = progress.snapshot.texts
        talk: State = {
            "model": queue.name,
            "id": progress.ids[0] if progress.ids else None,
            "ids": progress.ids,
            "last": {
                "model": queue.name,
                "inputs": ask.inputs,
                "options": ask.options.as_json(),
                "outputs": texts,
            },
        }
        if "messages" in ask.inputs:
            reply = {"role": "assistant", "content": texts[0]}
            talk["messages"] = [*ask.inputs["messages"], reply]
        return talk

    def compose(self, form: str, title: str, acrostic: str) -> str:
        """The poet's prompt for a form, a title and an acrostic."""
        title, acrostic = title.strip(), acrostic.strip()
        if form not in FORMS:
            return title
        heads = f"藏头：{acrostic}。" if acrostic else ""
        return f"{form}《{title}》{heads}" if title else form + heads

    def on_model(self, model: str) -> tuple[Any, Any, Any, Any, Any]:
        """State line, poem helper, prompt label, New chat, and whether to ask again soon."""
        queue = self.services.queues.get(model)
        state = queue.state if queue else "failed"
        word = self.language.word
        loaded = queue.model if queue else None
        chat = loaded is not None and loaded.is_chat
        message = self.trouble(queue)
        return (
            gr.Markdown(message, visible=bool(message)),
            gr.Group(visible=loaded is not None and loaded.writes_poems),
            gr.Textbox(label=word("message") if chat else word("prompt")),
            gr.Button(visible=chat),
            gr.Timer(active=state == "loading" or may_come_back(queue)),
        )


def picked(conversation: State | None, draft: object) -> Any:
    """The talk as it goes on from another draft of its last answer."""
    talk = conversation or {}
    outputs = talk.get("last", {}).get("outputs", [])
    if "messages" not in talk or type(draft) is not int or not 0 <= draft < len(outputs):
        return gr.skip()
    reply = {"role": "assistant", "content": outputs[draft]}
    return {
        **talk,
        "id": talk["ids"][draft] if talk["ids"] else None,
        "messages": [*talk["messages"][:-1], reply],
    }
