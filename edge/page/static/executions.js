// The list of executions: counts by status, a text filter, and one entry each.

import { get } from "./api.js";
import { between, duration, h, plain, statusPill } from "./dom.js";

const SHOWN_MAX = 200;

export class ExecutionList {
  constructor(host) {
    this.rows = [];
    this.counts = {};
    this.status = "";
    this.selected = "";
    this.now = null;
    this.filter = h("input", { type: "search", placeholder: "Filter by id, type or reason", "aria-label": "Filter", oninput: () => this.paint() });
    this.chips = h("div", { class: "chips" });
    this.items = h("ol", { class: "items" });
    this.foot = h("p", { class: "foot" });
    host.replaceChildren(h("div", { class: "filters" }, this.chips, this.filter), this.items, this.foot);
  }

  async load() {
    const answer = await get("/api/executions", { status: this.status, limit: 500 });
    this.rows = answer.executions;
    this.counts = answer.counts;
    this.paint();
  }

  paint() {
    const total = Object.values(this.counts).reduce((sum, n) => sum + n, 0);
    const chip = (status, count) => h("button", {
      type: "button", class: `chip ${status}`, "aria-pressed": String(this.status === status),
      onclick: () => { this.status = this.status === status ? "" : status; this.load(); },
    }, h("b", {}, count), " ", status ? status.replaceAll("_", " ") : "all");
    const present = Object.entries(this.counts).filter(([status, count]) => count || status === this.status);
    this.chips.replaceChildren(chip("", total), ...present.map(([status, count]) => chip(status, count)));
    const wanted = this.filter.value.trim().toLowerCase();
    const fits = (row) => !wanted || [row.workflow_id, row.type, row.run_id, reason(row)].some((text) => String(text).toLowerCase().includes(wanted));
    const rows = this.rows.filter(fits);
    this.items.replaceChildren(...rows.slice(0, SHOWN_MAX).map((row) => this.item(row)));
    this.foot.textContent = rows.length > SHOWN_MAX ? `the first ${SHOWN_MAX} of ${rows.length}; filter to see others`
      : rows.length ? "" : total ? "no execution fits" : "no execution yet: a message or `overwinter start` begins one";
  }

  item(row) {
    const age = row.closed_at ? `ran ${duration(between(row.started_at, row.closed_at))}`
      : this.now ? `for ${duration(between(row.started_at, this.now))}` : "";
    const why = reason(row);
    return h("li", {}, h("a", {
      href: address(row.workflow_id, row.run_id), class: "item", "aria-current": String(this.selected === row.run_id + row.workflow_id),
    },
    h("span", { class: "item-head" }, h("span", { class: "id" }, row.workflow_id), statusPill(row.status)),
    h("span", { class: "item-sub" }, h("span", {}, row.type), h("span", {}, age)),
    why ? h("span", { class: `item-why ${row.blocked ? "blocked" : ""}` }, why) : null));
  }
}

function reason(row) {
  return row.blocked && !row.paused ? `${row.blocked.cause} at ${row.blocked.where}` : row.waiting_for ? `waiting for ${plain(row.waiting_for)}` : "";
}

export function address(workflowId, runId) {
  return `#/execution/${encodeURIComponent(workflowId)}/${encodeURIComponent(runId)}`;
}
