#!/bin/sh
# Guess: whoever closes a Gradio queue's stream of answers while an event runs, and opens it again at once, gets that event's answers there.
. "$(dirname "$0")/_room.sh"
room gradio==6.31.0
look <<'PY'
import json, logging, socket, threading, time
import gradio as gr, httpx, uvicorn
from fastapi import FastAPI

def counting():
    for step in range(4):
        time.sleep(0.5)
        yield str(step)

with gr.Blocks(analytics_enabled=False) as page:
    box = gr.Textbox()
    gr.Button().click(lambda: time.sleep(0.4), None, box)
    gr.Button().click(counting, None, box)
page.queue(default_concurrency_limit=None)
logging.disable(logging.CRITICAL)
listener = socket.create_server(("127.0.0.1", 0))
app = gr.mount_gradio_app(FastAPI(), page, path="/", ssr_mode=False)
server = uvicorn.Server(uvicorn.Config(app, log_level="critical"))
threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True).start()
while not server.started:
    time.sleep(0.05)
root = f"http://127.0.0.1:{listener.getsockname()[1]}/gradio_api/queue"

def press(client, button, session):
    return client.post(f"{root}/join", json={"data": [], "fn_index": button, "session_hash": session}).json()["event_id"]

def answers(client, session):
    try:
        with client.stream("GET", f"{root}/data", params={"session_hash": session}, timeout=8) as stream:
            for line in stream.iter_lines():
                if line.startswith("data: "):
                    yield json.loads(line[6:])
    except httpx.HTTPError:
        return

def counted(session, reopened):
    """Answers to the second button, pressed while the first is worked on. reopened: the stream is closed after the first's last answer,
    as the page's own client does where it has not yet been told that the second was taken, and opened again at once."""
    second, got = None, 0
    with httpx.Client() as client:
        first = press(client, 0, session)
        for said in answers(client, session):
            second = second or press(client, 1, session)
            got += said["msg"] in ("process_generating", "process_completed") and said["event_id"] == second
            if said["msg"] == "process_completed" and (reopened or said["event_id"] == second):
                break
        for said in answers(client, session) if reopened else ():
            got += said["msg"] in ("process_generating", "process_completed") and said["event_id"] == second
            if said["msg"] == "process_completed":
                break
    return got

print(f"gradio {gr.__version__}")
print("most would guess: 5 answers, whether the stream stayed open or was opened again")
kept, lost = counted("kept", False), counted("opened-again", True)
print(f"seen: {kept} where it stayed open, {lost} where it was opened again")
raise SystemExit(not (kept == 5 and lost == 0))
PY
