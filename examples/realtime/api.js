// What all JavaScript examples need of the REST API: a token, and something that happens.
export const souk = process.env.BASE_URL ?? "http://127.0.0.1:8080";

async function call(method, path, body, token) {
  const headers = { "content-type": "application/json" };
  if (token) headers.authorization = `Bearer ${token}`;
  const response = await fetch(souk + path, { method, headers, body: body && JSON.stringify(body) });
  const answer = await response.json();
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${answer.detail}`);
  return answer;
}

export async function login(email = "ada@souk.test", password = "souk-demo-1") {
  const { user, access_token } = await call("POST", "/api/auth/login", { email, password });
  return { user, token: access_token };
}

export function placeOrder(token) {
  const order = { items: [{ sku: "TEA-MINT-100", quantity: 1 }], payment_method: "card_ok" };
  return call("POST", "/api/orders", order, token);
}
