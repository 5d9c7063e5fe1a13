"""Files as other tools write them, small but in their real shape, for tests of the importers."""

import json
from typing import Any


def json_lines(*rows: Any) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


# FEEL (app/app.py): a chat as the rows of a table, written again at every click.


def feel_message(role: str, content: str, rating: int = 0, **more: str) -> dict[str, Any]:
    chosen = content if rating == 1 else ""
    rejected = content if rating == -1 else ""
    return {
        "role": role,
        "content": content,
        "rating": rating,
        "chosen": chosen,
        "rejected": rejected,
        **more,
    }


def feel_line(minute: int, *messages: dict[str, Any], session: str = "s-1") -> dict[str, Any]:
    return {
        "conversation": [feel_message("system", "You are a helpful assistant."), *messages],
        "timestamp": f"2025-03-01T10:{minute:02}:00.123456",
        "session_id": session,
        "conversation_id": "c-1",
        "language": "English",
    }


# FastChat (serve/gradio_web_server.py, gradio_block_arena_anony.py): JSON lines of a day.


def fastchat_state(
    *messages: str | None, model: str = "vicuna-13b", conv_id: str = "9f3a"
) -> dict[str, Any]:
    roles = ["USER", "ASSISTANT"]
    return {
        "template_name": "vicuna_v1.1",
        "system_message": "A chat between a curious user and an assistant.",
        "roles": roles,
        "messages": [[roles[i % 2], text] for i, text in enumerate(messages)],
        "offset": 0,
        "conv_id": conv_id,
        "model_name": model,
    }


def fastchat_chat(state: dict[str, Any]) -> dict[str, Any]:
    return {
        "tstamp": 1712000000.1,
        "type": "chat",
        "model": state["model_name"],
        "gen_params": {"temperature": 0.7, "top_p": 1.0, "max_new_tokens": 1024},
        "start": 1712000000.0,
        "finish": 1712000000.1,
        "state": state,
        "ip": "203.0.113.7",
    }


def fastchat_vote(kind: str, state: dict[str, Any], time: float = 1712000010.5) -> dict[str, Any]:
    return {
        "tstamp": time,
        "type": kind,
        "model": state["model_name"],
        "state": state,
        "ip": "203.0.113.7",
    }


def fastchat_battle(
    kind: str, left: dict[str, Any], right: dict[str, Any], time: float = 1712000020.25
) -> dict[str, Any]:
    return {
        "tstamp": time,
        "type": kind,
        "models": ["", ""],
        "states": [left, right],
        "ip": "203.0.113.8",
    }


def cleaned_battle(winner: str, **more: Any) -> dict[str, Any]:
    """A row of clean_battle_data.py, as the published datasets have it."""
    user = {"role": "user", "content": "What is snow?"}
    return {
        "question_id": "58210e39b3fd4441a2bd4a518bb44c2d",
        "model_a": "chatglm-6b",
        "model_b": "koala-13b",
        "winner": winner,
        "judge": "arena_user_973",
        "conversation_a": [user, {"role": "assistant", "content": "Frozen water."}],
        "conversation_b": [user, {"role": "assistant", "content": "White."}],
        "turn": 1,
        "anony": True,
        "language": "English",
        "tstamp": 1682351591.1322,
        **more,
    }


# Open WebUI (models/feedbacks.py, ResponseMessage.svelte): the admin's export of all feedback.


def webui_chat(**answers: str) -> dict[str, Any]:
    """A chat as a tree: a first question and answer, then a second with these answers."""
    messages: dict[str, Any] = {
        "q1": {"id": "q1", "parentId": None, "childrenIds": ["a1"], "role": "user"}
        | {"content": "Hello", "timestamp": 1740000000, "models": ["llama3:8b"]},
        "a1": {"id": "a1", "parentId": "q1", "childrenIds": ["q2"], "role": "assistant"}
        | {"content": "Hi!", "model": "llama3:8b", "timestamp": 1740000001, "done": True},
        "q2": {"id": "q2", "parentId": "a1", "childrenIds": list(answers), "role": "user"}
        | {"content": "What is snow?", "timestamp": 1740000010},
    }
    for number, (name, text) in enumerate(answers.items()):
        messages[name] = {"id": name, "parentId": "q2", "childrenIds": [], "role": "assistant"} | {
            "content": text,
            "model": "llama3:8b",
            "timestamp": 1740000011 + number,
        }
    return {
        "title": "Snow",
        "models": ["llama3:8b"],
        "params": {},
        "history": {"messages": messages, "currentId": list(answers)[-1]},
        "messages": [messages["q1"], messages["a1"], messages["q2"]],
        "timestamp": 1740000000000,
    }


def webui_feedback(
    message_id: str, chat: dict[str, Any], *, updated: int = 1740000100, **data: Any
) -> dict[str, Any]:
    return {
        "id": f"fb-{message_id}",
        "user_id": "7c5d0e1a-user",
        "version": 0,
        "type": "rating",
        "data": {"model_id": "llama3:8b", "tags": ["weather"], **data},
        "meta": {
            "arena": False,
            "model_id": "llama3:8b",
            "message_id": message_id,
            "message_index": 4,
            "chat_id": "chat-1",
            "base_models": {"llama3:8b": None},
        },
        "snapshot": {"chat": {"id": "chat-1", "user_id": "7c5d0e1a-user", "chat": chat}},
        "created_at": 1740000100,
        "updated_at": updated,
    }


# Argilla 2 (records/_io/_json.py: to_dict of each record).


def argilla_record(
    fields: dict[str, Any], responses: dict[str, list[dict[str, Any]]], record: str = "r-1"
) -> dict[str, Any]:
    return {
        "id": record,
        "fields": fields,
        "metadata": {"model": "mistral-7b"},
        "suggestions": {"quality": {"value": 5, "score": 0.9, "agent": "gpt-4"}},
        "responses": responses,
        "vectors": {},
        "_server_id": "7c1d4e02-93a5-4a41-a47d-5d9f0c2f2b6e",
    }


# Label Studio (guide/task_format): tasks with annotations.


def label_studio_task(
    data: dict[str, Any], *results: dict[str, Any], cancelled: bool = False
) -> dict[str, Any]:
    return {
        "id": 17,
        "data": data,
        "annotations": [
            {
                "id": 1001,
                "unique_id": "5c2d6c0e-2a17-4ac0-9e55-9c6d0a4d1f8c",
                "completed_by": {"id": 10, "email": "ann@example.org", "first_name": "Ann"},
                "result": list(results),
                "was_cancelled": cancelled,
                "ground_truth": False,
                "created_at": "2025-03-09T22:16:08.728353Z",
                "updated_at": "2025-03-09T22:17:08.728378Z",
                "lead_time": 4.288,
                "result_count": len(results),
                "task": 17,
            }
        ],
        "predictions": [{"model_version": "m", "result": [{"type": "rating"}]}],
        "project": 83,
        "created_at": "2025-03-09T21:52:49.513742Z",
        "updated_at": "2025-03-09T22:16:08.746926Z",
    }


def label_studio_result(kind: str, name: str, value: dict[str, Any]) -> dict[str, Any]:
    return {"id": "Dx_aB91ISN", "from_name": name, "to_name": "answer", "type": kind} | {
        "value": value,
        "origin": "manual",
    }
