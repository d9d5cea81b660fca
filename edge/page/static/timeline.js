// The drawn timeline: activities as bars, timers as lines, what came in as marks; idle stretches are collapsed.

import { between, duration, elapsed, plain, short, svg } from "./dom.js";

const ENDINGS = {
  ActivityCompleted: "completed", ActivityFailed: "failed", ActivityTimedOut: "failed", ActivityCanceled: "canceled",
  ChildCompleted: "completed", ChildFailed: "failed", ChildTimedOut: "failed", ChildTerminated: "failed",
  ChildCanceled: "canceled", ChildStartFailed: "failed", TimerFired: "fired", TimerCanceled: "canceled",
};
const MARKS = {
  Signaled: "signal", UpdateAccepted: "signal", MessagePublished: "message", CancelRequested: "cancel", WorkflowFailed: "failed",
  WorkflowTimedOut: "failed", WorkflowTerminated: "failed", WorkflowCompleted: "completed", WorkflowCanceled: "cancel",
};
export const ROWS = 24;
const ROW = 26, TOP = 46, GAP = 84;

export function spansOf(events, pending = []) {
  const begin = events[0]?.at, spans = new Map();
  for (const event of events) {
    const kind = event.type.includes("Activity") ? "activity" : event.type.includes("Child") ? "child" : "timer";
    const of = event.attributes, key = `${kind} ${of.id}`, at = between(begin, event.at);
    if (["ActivityScheduled", "ChildScheduled", "TimerStarted"].includes(event.type)) {
      const name = of.name ?? of.workflow_type ?? of.summary ?? kind;
      spans.set(key, { id: of.id, kind, name: name || kind, begin: at, end: null, outcome: "open", attempts: 1 });
    } else if (ENDINGS[event.type] && spans.has(key)) {
      Object.assign(spans.get(key), { end: at, outcome: ENDINGS[event.type], attempts: of.attempt || 1, failure: of.failure });
    }
  }
  for (const activity of pending) {
    const span = spans.get(`activity ${activity.id}`);
    if (span) Object.assign(span, { attempts: activity.attempt || 1, state: activity.state, failure: activity.last_failure });
  }
  return [...spans.values()];
}

// Where instants go, from 0 to `width`. A stretch in which no activity runs is collapsed when it would dwarf the rest.
export function scaleOf(spans, moments, begin, end, width) {
  const busy = spans.filter((s) => s.kind === "activity").map((s) => [s.begin, s.end ?? end]).sort((a, b) => a[0] - b[0]);
  const edges = [...new Set([begin, end, ...moments, ...busy.flat()])].filter((t) => t >= begin && t <= end).sort((a, b) => a - b);
  const idle = [];
  let running = begin, next = 0;
  for (let i = 0; i + 1 < edges.length; i += 1) {
    while (next < busy.length && busy[next][0] <= edges[i]) running = Math.max(running, busy[next++][1]);
    if (running <= edges[i]) idle.push({ begin: edges[i], end: edges[i + 1] });
  }
  const length = (list) => list.reduce((sum, gap) => sum + gap.end - gap.begin, 0);
  const active = end - begin - length(idle);
  const gaps = idle.filter((gap) => gap.end - gap.begin > active / 4);
  const time = end - begin - length(gaps);
  const gapWidth = time > 0 ? Math.min(GAP, width / (gaps.length + 1)) : width / Math.max(1, gaps.length);
  const perSecond = time > 0 ? (width - gapWidth * gaps.length) / time : 0;
  const place = (at) => {
    let x = 0, past = begin;
    for (const gap of gaps) {
      if (at <= gap.begin) break;
      x += (gap.begin - past) * perSecond + gapWidth * (Math.min(at, gap.end) - gap.begin) / (gap.end - gap.begin);
      past = gap.end;
    }
    return Math.max(0, Math.min(width, at > past ? x + (at - past) * perSecond : x));
  };
  return { gaps, place };
}

export function draw(host, answer, now, page) {
  const events = answer.events;
  if (!events.length) return;
  const start = events[0].at, closed = answer.execution.closed_at;
  const all = spansOf(events, answer.pending_activities);
  const spans = all.slice(Math.max(0, all.length - ROWS * (page + 1)), all.length - ROWS * page || undefined);
  const begin = page > 0 || spans.length < all.length ? spans[0].begin : 0;
  const last = between(start, events[events.length - 1].at);
  let end = closed || !now ? last : Math.max(last, between(start, now));
  if (page > 0) end = Math.max(...spans.map((s) => s.end ?? s.begin));
  const moments = events.map((event) => between(start, event.at)).filter((t) => t >= begin && t <= end);
  const width = Math.max(host.clientWidth, 280), narrow = width < 560;
  const left = narrow ? 0 : Math.min(220, width * 0.24), right = narrow ? 4 : 96;
  const row = narrow ? 40 : ROW, plot = width - left - right;
  const scale = scaleOf(spans, moments, begin, end, plot);
  const height = TOP + Math.max(1, spans.length) * row + 6;
  const x = (at) => left + scale.place(at);
  const picture = svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", class: "timeline" },
    svg("title", {}, "Timeline of activities and timers"), hatch());
  scale.gaps.forEach((gap) => picture.append(gapBand(gap, x, height)));
  axis(picture, scale, x, begin, end, height);
  marks(picture, events, start, begin, end, x);
  spans.forEach((span, i) => picture.append(bar(span, i, { x, left, row, narrow, end, width })));
  host.replaceChildren(picture);
}

function hatch() {
  const lines = svg("path", { d: "M-2 8 L8 -2 M0 10 L10 0", class: "hatch" });
  const pattern = svg("pattern", { id: "retry", width: 8, height: 8, patternUnits: "userSpaceOnUse" }, lines);
  return svg("defs", {}, pattern);
}

function gapBand(gap, x, height) {
  const left = x(gap.begin), width = Math.max(1, x(gap.end) - left);
  const text = width > 64 ? svg("text", { x: left + width / 2, y: 14, class: "gap-label" }, duration(gap.end - gap.begin)) : null;
  return svg("g", {}, svg("rect", { x: left, y: 18, width, height: height - 20, class: "gap" }), text,
    svg("title", {}, `${duration(gap.end - gap.begin)} in which nothing ran`));
}

function axis(picture, scale, x, begin, end, height) {
  const ticks = [begin, ...scale.gaps.flatMap((gap) => [gap.begin, gap.end]), end];
  let free = -Infinity;
  for (const at of [...new Set(ticks)]) {
    const place = x(at);
    picture.append(svg("line", { x1: place, x2: place, y1: 18, y2: height - 2, class: "tick" }));
    const anchor = place < 40 ? "start" : at === end ? "end" : "middle";
    const from = anchor === "start" ? place : anchor === "end" ? place - 62 : place - 31;
    if (from < free) continue;
    free = from + 68;
    picture.append(svg("text", { x: place, y: 30, "text-anchor": anchor, class: "tick-label" }, elapsed(at).replace(/\.\d+$/, "")));
  }
}

function marks(picture, events, start, begin, end, x) {
  for (const event of events) {
    const kind = MARKS[event.type], at = between(start, event.at);
    if (!kind || at < begin || at > end) continue;
    const name = event.attributes.name ?? event.attributes.topic ?? "";
    const place = x(at);
    picture.append(svg("path", { d: `M${place} 34 l5 5 l-5 5 l-5 -5 z`, class: `mark ${kind}` },
      svg("title", {}, `${elapsed(at)} ${event.type} ${name}`)));
  }
}

function bar(span, index, { x, left, row, narrow, end, width }) {
  const y = TOP + index * row, until = span.end ?? end;
  const from = x(span.begin), length = Math.max(3, x(until) - from);
  const barY = narrow ? y + 20 : y + 5, height = 15;
  const retried = span.attempts > 1;
  const label = short(plain(span.name), narrow ? 32 : Math.floor(left / 7.4));
  const note = duration(until - span.begin) + (retried ? ` ×${span.attempts}` : "") + (span.end === null ? " …" : "");
  const group = svg("g", { class: `span ${span.kind} ${span.outcome}` });
  if (!narrow) group.append(svg("line", { x1: 0, x2: width, y1: y, y2: y, class: "rule" }));
  group.append(svg("text", { x: 0, y: narrow ? y + 14 : y + 17, class: "span-label" }, label));
  if (span.kind === "timer") {
    const middle = barY + height / 2;
    group.append(svg("line", { x1: from, x2: from + length, y1: middle, y2: middle, class: "wait" }));
    group.append(svg("circle", { cx: from, cy: middle, r: 3, class: "knot" }));
    if (span.end !== null) group.append(svg("circle", { cx: from + length, cy: middle, r: 3, class: "knot" }));
  } else {
    group.append(svg("rect", { x: from, y: barY, width: length, height, rx: 3, class: "bar" }));
    if (retried) group.append(svg("rect", { x: from, y: barY, width: length, height, rx: 3, fill: "url(#retry)" }));
  }
  const noteX = narrow ? width : width, anchor = "end";
  group.append(svg("text", { x: noteX, y: narrow ? y + 14 : y + 17, "text-anchor": anchor, class: "note" }, note));
  const failure = span.failure ? `\n${span.failure.type ?? ""}: ${span.failure.message ?? ""}` : "";
  group.append(svg("title", {}, `#${span.id} ${span.name}: ${span.outcome}, ${note}, from ${elapsed(span.begin)}${failure}`));
  return group;
}
