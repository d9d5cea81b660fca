// Asking the gateway. The token, when one is needed, comes in the address as #token=... and stays in this tab.

const KEY = "overwinter-token";

function takeToken() {
  const match = /^#token=(.+)$/.exec(location.hash);
  if (!match) return;
  sessionStorage.setItem(KEY, decodeURIComponent(match[1]));
  history.replaceState(null, "", location.pathname + "#/");
}
takeToken();

function headers(more) {
  const token = sessionStorage.getItem(KEY);
  return token ? { ...more, "x-overwinter-token": token } : { ...more };
}

export class Refused extends Error {
  constructor(error) {
    super(error.message + (error.hint ? ` (${error.hint})` : ""));
    this.kind = error.type;
  }
}

async function answer(response) {
  let body;
  try {
    body = await response.json();
  } catch {
    throw new Refused({ type: "Broken", message: `the gateway answered ${response.status} without a reason` });
  }
  if (!response.ok) throw new Refused(body.error ?? { type: "Error", message: `status ${response.status}` });
  return body;
}

export async function get(path, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const address = given.length ? `${path}?${new URLSearchParams(given)}` : path;
  return answer(await fetch(address, { headers: headers(), cache: "no-store" }));
}

export async function change(workflowId, op, body) {
  return answer(await fetch(`${executionPath(workflowId)}/${op}`, {
    method: "POST",
    headers: headers({ "content-type": "application/json", "x-overwinter-request": "page" }),
    body: JSON.stringify(body),
  }));
}

export function executionPath(workflowId) {
  return `/api/executions/${encodeURIComponent(workflowId)}`;
}

// The stream is read with fetch and not with EventSource, which could not send the token.
export async function follow(onEvent, onState) {
  let last = null, wait = 1000;
  for (;;) {
    try {
      const query = last === null ? "" : `?after_lsn=${last}`;
      const response = await fetch(`/api/events${query}`, { headers: headers(), cache: "no-store" });
      if (!response.ok) throw new Error(`status ${response.status}`);
      onState(true);
      wait = 1000;
      for await (const event of blocks(response.body)) {
        if (typeof event.lsn === "number") last = event.lsn;
        onEvent(event);
      }
    } catch {
      wait = Math.min(wait * 2, 15000);
    }
    onState(false);
    await new Promise((resolve) => setTimeout(resolve, wait));
  }
}

async function* blocks(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
      const block = text.slice(0, end);
      text = text.slice(end + 2);
      if (block.startsWith("event: refused")) throw new Error("refused");
      const data = /^data: (.*)$/m.exec(block);
      if (data) yield JSON.parse(data[1]);
    }
  }
}
