#!/bin/sh
# Live events by curl: server-sent events, then long polling, on the same cursor.
#   sh curl.sh        (BASE_URL, default http://127.0.0.1:8080)
set -eu
souk=${BASE_URL:-http://127.0.0.1:8080}

login=$(curl -sf "$souk/api/auth/login" -H 'Content-Type: application/json' \
  -d '{"email":"ada@souk.test","password":"souk-demo-1"}')
token=$(printf '%s' "$login" | sed 's/.*"access_token":"\([^"]*\)".*/\1/')
user=$(printf '%s' "$login" | sed 's/.*"user":{"id":"\([^"]*\)".*/\1/')

# Where the inbox is now: a poll without a cursor answers at once.
cursor=$(curl -sf "$souk/poll/$user" -H "Authorization: Bearer $token" | sed 's/.*"cursor":\([0-9]*\).*/\1/')
echo "cursor $cursor"

curl -sf -o /dev/null "$souk/api/orders" -H "Authorization: Bearer $token" -H 'Content-Type: application/json' \
  -d '{"items":[{"sku":"TEA-MINT-100","quantity":1}],"payment_method":"card_ok"}'

# What came after it: at once if there is something, else after the time-out with "timeout":true.
answer=$(curl -sf "$souk/poll/$user?timeout=10000&cursor=$cursor" -H "Authorization: Bearer $token")
echo "$answer" | grep -q '"event":"order_created"'
next=$(printf '%s' "$answer" | sed 's/.*"cursor":\([0-9]*\)[^0-9]*$/\1/')
echo "polled up to $next"

# The same by server-sent events: everything after the cursor, then what happens as it happens (here for two seconds).
curl -sN --max-time 2 "$souk/events" -H "Authorization: Bearer $token" -H "Last-Event-ID: $cursor" | grep '^event: order_' || true
echo done
