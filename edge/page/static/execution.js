// One execution: status and its reason, the timeline, what is pending, the events, and the buttons to steer it.

import { change, executionPath, get } from "./api.js";
import { address } from "./executions.js";
import { between, clock, duration, elapsed, h, json, plain, short, statusPill } from "./dom.js";
import { ROWS, draw, spansOf } from "./timeline.js";

const EVENTS_PER_PAGE = 100;
const EVENTS_MAX = 50000;

export class ExecutionView {
  constructor(host, dialog, workflowId, runId) {
    Object.assign(this, { host, dialog, workflowId, runId, answer: null, now: null, page: 0, spanPage: 0, open: new Set() });
    this.text = h("input", { type: "search", placeholder: "Filter events", "aria-label": "Filter events", oninput: () => { this.page = 0; this.paintEvents(); } });
    this.failures = h("input", { type: "checkbox", onchange: () => { this.page = 0; this.paintEvents(); } });
    this.head = h("div", {});
    this.picture = h("div", { class: "picture" });
    this.pictureFoot = h("div", { class: "pager" });
    this.pending = h("div", {});
    this.events = h("ol", { class: "events" });
    this.pager = h("div", { class: "pager" });
    this.timelineCard = h("section", { class: "card" }, h("h2", {}, "Timeline"), this.picture, legend(), this.pictureFoot);
    host.replaceChildren(
      h("a", { class: "back", href: "#/" }, "‹ all executions"), this.head, this.timelineCard, this.pending,
      h("section", { class: "card" },
        h("div", { class: "card-head" }, h("h2", {}, "Events"), this.text, h("label", {}, this.failures, " failures only")),
        this.events, this.pager));
    this.resize = new ResizeObserver(() => this.paintTimeline());
    this.resize.observe(this.picture);
  }

  close() {
    this.resize.disconnect();
  }

  // Fetch what is new since the last event that we have; earlier events never change.
  async load() {
    let events = this.answer?.events ?? [], answer;
    do {
      const after = events.length ? events[events.length - 1].sequence : 0;
      answer = await get(executionPath(this.workflowId), { run_id: this.runId, after });
      events = events.concat(answer.events);
    } while (answer.more && events.length < EVENTS_MAX);
    const grown = events.length !== (this.answer?.events.length ?? -1);
    this.answer = { ...answer, events };
    this.paintHead();
    this.paintPending();
    if (grown) this.paintEvents();
    this.paintTimeline();
  }

  paintHead() {
    const { execution: one, failure, result } = this.answer;
    const open = !one.closed_at;
    const age = one.closed_at ? `ran ${duration(between(one.started_at, one.closed_at))}` : this.now ? `open for ${duration(between(one.started_at, this.now))}` : "open";
    const act = (op, label, kind) => h("button", { type: "button", class: kind, onclick: () => this.confirm(op) }, label);
    this.head.replaceChildren(...[
      h("div", { class: "title" }, h("h1", {}, one.workflow_id), statusPill(one.status)),
      h("p", { class: "facts" }, h("b", {}, one.type), ` · queue ${plain(one.task_queue)}${one.durability ? ` · durability ${plain(one.durability)}` : ""} · started ${clock(one.started_at)} · ${age} · ${one.history_length} events`),
      h("p", { class: "facts mono" }, `run ${plain(one.run_id)}`),
      reasonBanner(one), failure ? h("div", { class: "banner failed" }, h("b", {}, "Failed"), failureView(failure)) : null,
      one.status === "completed" ? h("div", { class: "banner completed" }, h("b", {}, "Result"), h("pre", {}, json(result, 2))) : null,
      open ? h("div", { class: "actions" }, act("signal", "Signal…", "primary"), pauseAct(one, act), act("cancel", "Cancel…", ""), act("terminate", "Terminate…", "danger")) : null,
    ].filter(Boolean));
  }

  paintTimeline() {
    if (!this.answer?.events.length) return;
    const count = spansOf(this.answer.events).length, pages = Math.ceil(count / ROWS);
    this.timelineCard.hidden = count === 0;
    if (count === 0) return;
    draw(this.picture, this.answer, this.now, this.spanPage);
    const go = (step) => { this.spanPage += step; this.paintTimeline(); };
    this.pictureFoot.replaceChildren(...(pages > 1 ? pagerButtons(pages - 1 - this.spanPage, pages, (step) => go(-step)) : []));
  }

  paintPending() {
    const { pending_activities: activities, pending_timers: timers } = this.answer;
    if (!activities.length && !timers.length) return this.pending.replaceChildren();
    const rows = activities.map((one) => h("li", {},
      h("div", { class: "pending-head" }, h("b", {}, one.name), h("span", { class: `pill ${plain(one.state)}` }, plain(one.state).replaceAll("_", " "))),
      h("div", { class: "facts" }, `attempt ${one.attempt}`, one.next_attempt_at ? ` · next ${clock(one.next_attempt_at)}${this.until(one.next_attempt_at)}` : ""),
      one.last_failure ? failureView(one.last_failure) : null,
      one.heartbeat === null || one.heartbeat === undefined ? null : h("div", { class: "facts" }, "heartbeat ", h("code", {}, short(json(one.heartbeat), 200)))));
    rows.push(...timers.map((one) => h("li", {},
      h("div", { class: "pending-head" }, h("b", {}, one.summary || `timer ${one.id}`), h("span", { class: "pill running" }, "timer")),
      h("div", { class: "facts" }, `due ${clock(one.due_at)}${this.until(one.due_at)}`))));
    this.pending.replaceChildren(h("section", { class: "card" }, h("h2", {}, "Pending"), h("ul", { class: "pending" }, rows)));
  }

  until(at) {
    const seconds = this.now ? between(this.now, at) : NaN;
    return Number.isNaN(seconds) ? "" : seconds > 0 ? `, in ${duration(seconds)}` : `, ${duration(-seconds)} ago`;
  }

  // The newest events come first; a long history is paged.
  paintEvents() {
    const wanted = this.text.value.trim().toLowerCase();
    const names = new Map(spansOf(this.answer.events).map((span) => [`${span.kind} ${span.id}`, span.name]));
    const fits = (event) => (!this.failures.checked || isBad(event)) && (!wanted || (event.type + json(event.attributes)).toLowerCase().includes(wanted));
    const events = this.answer.events.filter(fits).reverse();
    const pages = Math.max(1, Math.ceil(events.length / EVENTS_PER_PAGE));
    this.page = Math.min(this.page, pages - 1);
    const begin = this.answer.events[0]?.at;
    const shown = events.slice(this.page * EVENTS_PER_PAGE, (this.page + 1) * EVENTS_PER_PAGE);
    this.events.replaceChildren(...shown.map((event) => this.eventRow(event, begin, names)));
    if (!shown.length) this.events.append(h("li", { class: "foot" }, "no event fits"));
    const go = (step) => { this.page += step; this.paintEvents(); };
    this.pager.replaceChildren(...(pages > 1 ? pagerButtons(this.page, pages, go) : []));
  }

  eventRow(event, begin, names) {
    const body = h("div", { class: "event-body" });
    const fillBody = () => body.replaceChildren(
      event.attributes.failure ? failureView(event.attributes.failure) : "",
      h("p", { class: "facts" }, `${clock(event.at)} · activation ${event.activation}`), h("pre", {}, json(event.attributes, 2)),
      h("div", { class: "actions" }, h("button", { type: "button", onclick: () => this.confirm("reset", event) }, "Reset to here…")));
    const details = h("details", {
      class: `event ${isBad(event) ? "failed" : ""}`, open: this.open.has(event.sequence),
      ontoggle: () => { details.open ? (this.open.add(event.sequence), fillBody()) : this.open.delete(event.sequence); },
    },
    h("summary", {}, h("span", { class: "sequence" }, event.sequence), h("span", { class: "at" }, elapsed(between(begin, event.at))),
      h("span", { class: "type" }, event.type), h("span", { class: "what" }, summary(event, names))), body);
    if (details.open) fillBody();
    return h("li", {}, details);
  }

  confirm(op, event) {
    const one = this.answer.execution;
    const words = { signal: "Send a signal to", pause: "Pause", resume: "Resume", reset: `Reset to event ${event?.sequence}:`, cancel: "Ask to cancel", terminate: "Terminate" };
    const does = { signal: "Send signal", pause: "Pause now", resume: "Resume now", reset: "Reset now", cancel: "Ask to cancel", terminate: "Terminate now" };
    const explain = {
      signal: "The signal is recorded in the history; the workflow's code decides what it does.",
      pause: "No code of it runs and no activity begins an attempt until it is resumed. What happens to it is recorded; what runs, ends.",
      resume: "It goes on with whatever has come meanwhile.",
      reset: "A new run begins: what came before this event is kept, what the code asked for with it and later is done anew. Later signals are handed over. An open run ends as terminated.",
      cancel: "The workflow's code is asked to end by itself, and may clean up first.",
      terminate: "The execution ends at once, without asking its code: nothing is cleaned up.",
    };
    const name = h("input", { name: "name", required: true, placeholder: "signal name", autocomplete: "off" });
    const args = h("textarea", { name: "args", rows: 4, spellcheck: "false" }, "[]");
    const reason = h("input", { name: "reason", placeholder: "why (is recorded)", autocomplete: "off" });
    const problem = h("p", { class: "problem", role: "alert" });
    const go = h("button", { type: "submit", class: op === "terminate" ? "danger" : "primary" }, does[op]);
    const send = async (submit) => {
      submit.preventDefault();
      problem.textContent = "";
      try {
        const body = { run_id: one.run_id, ...(event ? { event: event.sequence } : {}) };
        if (op === "signal") Object.assign(body, { name: name.value, args: parseList(args.value) });
        else if (reason.value) body.reason = reason.value;
        go.disabled = true;
        const answer = await change(one.workflow_id, op, body);
        this.dialog.close();
        if (answer?.run_id) location.hash = address(one.workflow_id, answer.run_id);
        await this.load();
      } catch (error) {
        problem.textContent = plain(error.message);
      } finally {
        go.disabled = false;
      }
    };
    this.dialog.replaceChildren(h("form", { onsubmit: send },
      h("h2", {}, words[op]), h("p", { class: "id" }, one.workflow_id), h("p", {}, explain[op]),
      op === "signal" ? [h("label", {}, "Name", name), h("label", {}, "Arguments, a JSON list", args)] : h("label", {}, "Reason", reason),
      problem, h("div", { class: "actions end" }, h("button", { type: "button", onclick: () => this.dialog.close() }, "Keep as it is"), go)));
    this.dialog.showModal();
  }
}

function parseList(text) {
  let value;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new Error(`the arguments are not JSON: ${error.message}`);
  }
  if (!Array.isArray(value)) throw new Error('the arguments need to be a JSON list, for example ["text", 3]');
  return value;
}

function isBad(event) {
  return /(Failed|TimedOut|Terminated)$/.test(event.type);
}

// What is paused with others is resumed with them, and not here.
function pauseAct(one, act) {
  if (!one.paused) return act("pause", "Pause…", "");
  return one.paused.scope === "execution" ? act("resume", "Resume…", "primary") : null;
}

function reasonBanner(one) {
  if (one.paused) {
    const what = one.paused.scope === "execution" ? "" : ` with ${one.paused.scope === "everything" ? "everything" : `${one.paused.scope.replace("_", " ")} ${one.paused.name}`}`;
    return h("div", { class: "banner paused" }, h("b", {}, "Paused"), `${what} since ${clock(one.paused.since)} by ${one.paused.by}`, one.paused.reason ? h("p", {}, one.paused.reason) : null);
  }
  if (one.blocked) {
    return h("div", { class: "banner blocked" }, h("b", {}, "Blocked"), h("p", { class: "mono" }, one.blocked.cause),
      h("p", {}, "at ", h("code", {}, one.blocked.where), ` · ${one.blocked.attempts} attempts since ${clock(one.blocked.since)} · it goes on once the code is mended`));
  }
  return one.waiting_for ? h("div", { class: "banner waiting" }, h("b", {}, "Waiting for"), " ", one.waiting_for) : null;
}

function failureView(failure) {
  const chain = [];
  for (let one = failure; one && chain.length < 20; one = one.cause) {
    chain.push(h("div", { class: "failure" },
      h("p", {}, chain.length ? h("span", { class: "cause" }, "caused by ") : null, h("b", {}, one.type ?? ""), one.type ? ": " : "", one.message ?? ""),
      one.stack ? h("pre", {}, one.stack) : null));
  }
  return h("div", { class: "failures" }, chain);
}

function summary(event, names) {
  const of = event.attributes, parts = [];
  const kind = event.type.includes("Activity") ? "activity" : event.type.startsWith("Timer") ? "timer" : null;
  if (kind) parts.push(`#${of.id} ${names.get(`${kind} ${of.id}`) ?? of.name ?? kind}`);
  else parts.push(of.workflow_type ?? of.name ?? of.topic ?? "");
  if (of.attempt > 1 && kind) parts.push(`attempt ${of.attempt}`);
  if (event.type === "TimerStarted" && of.seconds !== undefined) parts.push(`for ${duration(of.seconds)}`);
  if (of.input?.length) parts.push(short(json(of.input), 160));
  if (of.body) parts.push(short(of.body, 160));
  if (of.result !== undefined) parts.push("→ " + short(json(of.result), 160));
  if (of.failure) parts.push(root(of.failure));
  if (of.reason) parts.push(of.reason);
  return parts.filter(Boolean).join("  ");
}

function root(failure) {
  let one = failure;
  for (let depth = 0; one.cause && depth < 20; depth += 1) one = one.cause;
  return `${one.type ?? "failure"}: ${one.message ?? ""}`;
}

function pagerButtons(page, pages, go) {
  const button = (label, step, usable) => h("button", { type: "button", disabled: !usable, onclick: () => go(step) }, label);
  return [button("‹", -1, page > 0), h("span", {}, `${page + 1} of ${pages}`), button("›", 1, page < pages - 1)];
}

function legend() {
  const entry = (kind, label) => h("span", {}, h("i", { class: `swatch ${kind}` }), label);
  return h("p", { class: "legend" }, entry("completed", "ran"), entry("retried", "with retries"), entry("failed", "failed"), entry("open", "running"), entry("timer", "timer"), entry("signal", "signal"), entry("message", "message"), entry("idle", "idle, drawn short"));
}
