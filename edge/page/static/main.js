// The page: which view is shown, the health strip, and what is fetched again when something happens.

import { follow, get } from "./api.js";
import { bytes, clock, h, plain } from "./dom.js";
import { ExecutionView } from "./execution.js";
import { ExecutionList } from "./executions.js";

const by = (id) => document.getElementById(id);
const list = new ExecutionList(by("list"));
let view = null, status = null, isLive = null, isWaiting = false;

function setTheme(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
}
setTheme(localStorage.getItem("overwinter-theme"));
by("theme").addEventListener("click", () => {
  const dark = document.documentElement.dataset.theme === "dark"
    || (!document.documentElement.dataset.theme && matchMedia("(prefers-color-scheme: dark)").matches);
  setTheme(dark ? "light" : "dark");
  localStorage.setItem("overwinter-theme", dark ? "light" : "dark");
});

function route() {
  view?.close?.();
  view = null;
  const [, name, id, run] = location.hash.split("/");
  document.body.dataset.view = name === "execution" || name === "quarantine" ? name : "list";
  for (const link of document.querySelectorAll("nav a")) {
    link.setAttribute("aria-current", String((link.dataset.view === "quarantine") === (name === "quarantine")));
  }
  list.selected = "";
  if (name === "execution" && id) {
    const workflowId = decodeURIComponent(id), runId = decodeURIComponent(run ?? "");
    list.selected = runId + workflowId;
    view = new ExecutionView(by("detail"), by("dialog"), workflowId, runId);
    view.now = status?.now;
  } else if (name === "quarantine") {
    view = { load: loadQuarantine };
  } else {
    by("detail").replaceChildren(h("div", { class: "empty" }, h("p", {}, "Choose an execution to see why it is where it is.")));
  }
  list.paint();
  refresh(true);
}

async function loadQuarantine() {
  const answer = await get("/api/quarantine");
  const counts = Object.entries(answer.counts).map(([reason, count]) => h("span", { class: "chip" }, h("b", {}, count), " ", reason));
  const entries = answer.entries.map((entry) => h("li", { class: "card" },
    h("div", { class: "pending-head" }, h("b", { class: "mono" }, entry.topic), h("span", { class: "pill blocked" }, entry.reason)),
    h("p", { class: "facts" }, `${clock(entry.received_at)} · ${entry.bytes} bytes`), entry.detail ? h("p", {}, entry.detail) : null, h("pre", {}, entry.payload)));
  by("detail").replaceChildren(h("a", { class: "back", href: "#/" }, "‹ all executions"),
    h("div", { class: "title" }, h("h1", {}, "Quarantine")),
    h("p", { class: "facts" }, "Messages that were refused at the edge. They had no effect."),
    h("div", { class: "chips" }, counts),
    entries.length ? h("ol", { class: "quarantine" }, entries) : h("p", { class: "empty" }, "No message was refused."));
}

function paintHealth(problem) {
  const chip = (kind, label, value, title) => h("span", { class: `health-item ${kind}`, title }, h("i", { class: "dot" }), h("span", { class: "label" }, label), h("b", {}, value));
  const replayChip = (check) => {
    const misfits = check.needs_patch + check.blocked;
    const text = check.misfits.map((one) => `${one.workflow_id} ${one.verdict}: ${one.recorded ? `recorded ${one.recorded}, now ${one.replayed} at ${one.replayed_at}` : `${one.problem} at ${one.where}`}`);
    return chip(misfits ? "bad" : check.took_s === null ? "warn" : "good", "replay check",
      `${check.took_s === null ? `${check.checked} so far, ` : ""}${misfits ? `${misfits} of ${check.checked} do not fit` : `${check.fits} fit`}`,
      [`task queue ${check.task_queue}: open executions replayed against the code`, ...text].join("\n"));
  };
  if (problem || !status) {
    return by("health").replaceChildren(chip("bad", "gateway", problem ? `not reached: ${problem}` : "asking…"));
  }
  const { mqtt = {}, engine = {}, outbox = {}, journal = {}, disk = {}, retention = null, limits = {}, pauses = [], batch_jobs: jobs = [], replay_checks: checks = [] } = status;
  const speed = status.clock_speed && status.clock_speed !== 1 ? ` ×${status.clock_speed}` : "";
  by("health").replaceChildren(
    chip(isLive === false ? "warn" : "good", "gateway", `${plain(status.gateway)}${isLive === false ? " (not live)" : ""}`, `pid ${status.pid}, version ${status.version}, up since ${clock(status.started_at)}`),
    chip(mqtt.connected ? "good" : "bad", "mqtt", mqtt.connected ? mqtt.broker : "not connected", `received ${mqtt.received}, acknowledged ${mqtt.acknowledged}`),
    chip("good", "open", engine.open ?? "?", `${engine.activities_running} activities running, ${engine.steps} steps, ${engine.commits} commits`),
    chip(engine.blocked ? "bad" : "good", "blocked", engine.blocked ?? "?"),
    engine.paused || pauses.length ? chip("warn", "paused", engine.paused ?? "?", pauses.map((one) => `${one.scope.replace("_", " ")} ${one.name}: ${one.reason}`).join("\n")) : "",
    ...checks.filter((check) => check.checked).map(replayChip),
    ...jobs.map((job) => chip(job.failed ? "warn" : "good", `batch ${job.operation}`, `${job.completed + job.failed} of ${job.total}`, `${job.query}\n${job.reason}`)),
    chip(outbox.waiting > 100 ? "warn" : "good", "outbox", outbox.waiting ?? "?", `${outbox.sent} sent`),
    chip("good", "journal", bytes(journal.bytes), `${journal.path}, WAL ${bytes(journal.wal_bytes)}`),
    Object.keys(limits.refused ?? {}).length ? chip("warn", "refused by limits", Object.values(limits.refused).reduce((a, b) => a + b), Object.entries(limits.refused).map(([limit, count]) => `${count} by ${plain(limit)}`).join("\n")) : "",
    retention ? chip(retention.failures ? "warn" : "good", "left the journal", retention.archived + retention.dropped,
      `${retention.archived} archived (${bytes(retention.archive_bytes)}), ${retention.dropped} dropped, ${retention.kept_back} had to stay${retention.last_round_at ? `; last looked at ${clock(retention.last_round_at)}` : ""}`) : "",
    disk.bytes_per_day === undefined ? "" : chip(disk.flash_life_days !== null && disk.flash_life_days < 730 ? "warn" : "good", "disk",
      `${bytes(disk.bytes_per_day ?? 0)} a day`, `${bytes(disk.free_bytes)} free; ${disk.commits} commits, ${disk.syncs} syncs, ${bytes(disk.bytes_written ?? 0)} written${disk.flash_life_days === null ? "" : `\nnew flash would bear that for ${Math.round(disk.flash_life_days)} days`}`),
    chip("plain", "clock", clock(status.now) + speed));
  const badge = by("quarantine-count");
  badge.hidden = !mqtt.quarantined;
  badge.textContent = mqtt.quarantined ?? "";
  document.title = `${plain(status.gateway)} · Overwinter`;
}

async function refreshStatus() {
  try {
    status = await get("/api/status");
    list.now = status.now;
    if (view) view.now = status.now;
    paintHealth();
  } catch (error) {
    paintHealth(plain(error.message));
  }
}

// Many events in a short time cause one fetch, not one each.
function refresh(at_once = false) {
  if (isWaiting && !at_once) return;
  isWaiting = true;
  setTimeout(async () => {
    isWaiting = false;
    await refreshStatus();
    const shown = view;
    const results = await Promise.allSettled([list.load(), shown?.load()]);
    if (shown === view && results[1].status === "rejected") {
      by("detail").replaceChildren(h("a", { class: "back", href: "#/" }, "‹ all executions"), h("div", { class: "banner failed" }, plain(results[1].reason.message)));
    }
  }, at_once ? 0 : 500);
}

addEventListener("hashchange", route);
route();
setInterval(() => { if (!document.hidden) refreshStatus(); }, 5000);
follow(() => refresh(), (live) => { isLive = live; paintHealth(status ? undefined : ""); if (live) refresh(); });
