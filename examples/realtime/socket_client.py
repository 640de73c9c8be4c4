"""Live events over Socket.IO, in Python.

    pip install -r requirements.txt && python socket_client.py        (BASE_URL, default http://127.0.0.1:8080)
"""

import json
import os
import threading
import urllib.request

import socketio

SOUK = os.environ.get("BASE_URL", "http://127.0.0.1:8080")


def post(path, body, token=None):
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    request = urllib.request.Request(SOUK + path, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request) as response:
        return json.load(response)


token = post("/api/auth/login", {"email": "ada@souk.test", "password": "souk-demo-1"})["access_token"]
client = socketio.Client()
ready, confirmed, said = threading.Event(), threading.Event(), threading.Event()
cursor = None


@client.on("inbox:ready")
def on_ready(data):
    global cursor
    cursor = data["cursor"] if cursor is None else cursor
    ready.set()


@client.on("order_created")
def on_created(order):
    global cursor
    cursor = order["cursor"]
    print(cursor, "order_created", order["id"])


@client.on("order_updated")
def on_updated(order):
    global cursor
    cursor = order["cursor"]
    print(cursor, "order_updated", order["status"])
    if order["status"] == "confirmed":
        confirmed.set()


# What is sent to rooms, chats and channels has one more argument at its end, the place to recover from: *_ takes it.
@client.on("message")
def on_message(message, *_):
    print("in", message["room_id"], "said", message["content"])
    said.set()


# Asked again before every connection, so that a reconnect goes on at the newest cursor.
client.connect(SOUK, auth=lambda: {"token": token, "cursor": cursor})
assert ready.wait(10), "the inbox did not begin"
post("/api/orders", {"items": [{"sku": "TEA-MINT-100", "quantity": 1}], "payment_method": "card_ok"}, token)
assert confirmed.wait(10), "the order was not confirmed"
client.call("join", "tea")
client.call("message", {"room_id": "tea", "content": "hello"})
assert said.wait(10), "the room did not hear it"
print("acknowledged up to", client.call("inbox:ack", cursor)["cursor"])
client.disconnect()
print("done")
