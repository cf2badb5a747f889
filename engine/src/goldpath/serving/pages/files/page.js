"use strict";
// The page's behaviour. All that comes from elsewhere is put in as text, never as markup.
(() => {
  const POLL_MS = 2000;
  const MODEL_MS = 10000;
  const WINDOW = 30; // polls that a rate and a percentile are taken over: a minute
  const HISTORY = 90; // points of a chart: three minutes
  const FEWEST = 15; // a chart is as wide as so many, at least
  const MAIN_ROUTE = "/predict";
  const SVG = "http://www.w3.org/2000/svg";
  const find = (id) => document.getElementById(id);
  const form = find("form");
  let credential = ""; // in this page's memory only
  let mayAsk = document.body.dataset.key !== "required";
  let shownCard = "";
  let polls = [];
  const points = [];

  // --- small parts ---

  const element = (name, text, className) => {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    if (className) made.className = className;
    return made;
  };
  const shape = (name, attributes) => {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  };
  const number = (value) => value.toLocaleString("en", { maximumSignificantDigits: 4 });
  const percent = (share) => (100 * share).toFixed(1) + " %";
  const time = (ms) => {
    if (ms === null || ms === undefined) return "–";
    if (ms < 1) return Math.round(ms * 1000) + " µs";
    return (ms < 100 ? ms.toPrecision(2) : Math.round(ms)) + " ms";
  };
  const set = (id, text) => { find(id).textContent = text; };
  const facts = (list, pairs) => {
    const items = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
    list.replaceChildren(...items.flatMap(([name, value]) => [element("dt", name), element("dd", value)]));
  };
  const bar = (share, className) => {
    const drawn = shape("svg", { class: "bar", viewBox: "0 0 100 8", preserveAspectRatio: "none", "aria-hidden": "true" });
    drawn.append(
      shape("rect", { class: "track", width: 100, height: 8, rx: 2 }),
      shape("rect", { class: "part " + className, width: Math.max(0, Math.min(100, 100 * share)), height: 8, rx: 2 }),
    );
    return drawn;
  };
  const barLine = (name, shown, share, className = "") => {
    const line = element("li");
    line.append(element("span", shown), name, bar(share, className));
    return line;
  };

  // --- the service ---

  const credentials = () => {
    if (!credential) return {};
    const isToken = credential.split(".").length === 3;
    return isToken ? { Authorization: "Bearer " + credential } : { "X-API-Key": credential };
  };
  const ask = async (path, options = {}) => {
    const headers = { ...credentials(), ...options.headers };
    const answer = await fetch(path, { ...options, headers, cache: "no-store" });
    if (answer.status === 401) {
      mayAsk = false;
      find("key").hidden = false;
    }
    return answer;
  };
  const read = async (path) => {
    const answer = await ask(path);
    return answer.ok ? answer.json() : null;
  };

  // --- the form ---

  const fields = [...form.querySelectorAll("[data-name]")];
  const errorOf = (input) => find(input.id + "-error");
  const showError = (input, text) => {
    input.setAttribute("aria-invalid", "true");
    const place = errorOf(input);
    place.textContent = text;
    place.hidden = false;
  };
  const clearErrors = () => {
    for (const input of fields) {
      input.removeAttribute("aria-invalid");
      errorOf(input).hidden = true;
    }
    find("alert").hidden = true;
  };
  const showAlert = (lines) => {
    find("alert").replaceChildren(...lines.filter(Boolean).map((line) => element("p", line)));
    find("alert").hidden = false;
  };
  const valueOf = (input) => {
    const text = input.value;
    if (text === "") return input.dataset.nullable ? null : undefined;
    if (input.dataset.type === "boolean") return text === "true";
    return ["category", "text"].includes(input.dataset.type) ? text : Number(text);
  };
  const features = () => {
    const values = Object.create(null);
    for (const input of fields) {
      const value = valueOf(input);
      if (value !== undefined) values[input.dataset.name] = value;
    }
    return values;
  };
  const entity = find("entity");
  const body = () => {
    const key = entity && entity.value ? { [entity.dataset.key]: entity.value } : {};
    return JSON.stringify({ ...key, features: features() });
  };
  const showCurl = () => {
    const quoted = body().replaceAll("'", "'\\''");
    const key = credential || !mayAsk ? ' -H "X-API-Key: $API_KEY"' : "";
    const url = new URL("predict", document.baseURI).href;
    set("curl", `curl -s ${url}${key} \\\n  -H 'Content-Type: application/json' \\\n  -d '${quoted}'`);
  };
  const showAnswer = (answer) => {
    const shown = (value) => (typeof value === "number" ? number(value) : value);
    const decides = typeof answer.threshold === "number"; // a version with a threshold
    const isOpen = decides && answer.decision !== answer.prediction;
    set("prediction", decides ? answer.decision : shown(answer.prediction));
    const shares = Object.entries(answer.probabilities || {});
    find("probabilities").replaceChildren(
      ...shares.map(([name, share]) => barLine(name, percent(share), share)),
    );
    facts(find("answer-facts"), [
      ["without the band", isOpen ? answer.prediction : ""],
      ["threshold", decides ? number(answer.threshold) : ""],
      ["interval", typeof answer.interval === "number"
        ? `${number(answer.lower)} to ${number(answer.upper)} (level ${answer.interval})` : ""],
      ["model", answer.model_name],
      ["version", answer.model_version],
      ["prediction id", answer.prediction_id],
    ]);
    find("raw").textContent = JSON.stringify(answer, null, 2);
    find("answer").hidden = false;
    find("no-answer").hidden = true;
    find("answer").scrollIntoView({ block: "nearest" });
  };
  const showProblem = (problem, status) => {
    const rest = [];
    for (const error of problem.errors || []) {
      const input = fields.find((each) => "features." + each.dataset.name === error.field);
      if (input) showError(input, error.message + ": " + error.fix);
      else rest.push(`${error.field} ${error.message}: ${error.fix}`);
    }
    const marked = fields.find((input) => input.hasAttribute("aria-invalid"));
    if (marked && !rest.length) showAlert(["Not predicted: see the marked fields."]);
    else showAlert([problem.detail || `The service answered ${status}.`, problem.fix, ...rest]);
    if (marked) marked.focus();
    else if (status === 401) find("key-value").focus();
  };
  const predict = async (event) => {
    event.preventDefault();
    clearErrors();
    const unread = fields.filter((input) => input.validity.badInput);
    for (const input of unread) showError(input, "is not a number: send " + input.dataset.allowed);
    if (unread.length) {
      showAlert(["Not predicted: see the marked fields."]);
      unread[0].focus();
      return;
    }
    find("predict").disabled = true;
    try {
      const options = { method: "POST", headers: { "Content-Type": "application/json" }, body: body() };
      const answer = await ask("predict", options);
      const values = await answer.json();
      if (answer.ok) showAnswer(values);
      else showProblem(values, answer.status);
    } catch {
      showAlert(["The service does not answer.", "Is it running? make serve"]);
    } finally {
      find("predict").disabled = false;
    }
    if (mayAsk) poll();
  };

  // --- traffic ---

  const sum = (values) => values.reduce((total, value) => total + value, 0);
  const isPrediction = (route) => route.startsWith(MAIN_ROUTE) || route === "/invocations";
  const requestsOf = (figures) => {
    const counted = figures.requests.filter((each) => isPrediction(each.route));
    return [sum(counted.map((each) => each.requests)),
      sum(counted.filter((each) => each.status >= 500).map((each) => each.requests))];
  };
  const bucketsOf = (figures) => {
    const found = figures.latency.find((each) => each.route === MAIN_ROUTE);
    return found ? found.buckets : [];
  };
  const quantile = (share, buckets) => {
    const all = buckets.length ? buckets[buckets.length - 1].requests : 0;
    if (all <= 0) return null;
    let lower = 0;
    let below = 0;
    for (const { at_most_ms: bound, requests } of buckets) {
      if (requests >= share * all) {
        if (bound === null) return lower;
        const inside = requests - below;
        return lower + (bound - lower) * (inside ? (share * all - below) / inside : 1);
      }
      lower = bound;
      below = requests;
    }
    return lower;
  };
  const between = (earlier, later) => {
    const before = new Map(earlier.map((each) => [each.at_most_ms, each.requests]));
    return later.map((each) => ({
      at_most_ms: each.at_most_ms, requests: each.requests - (before.get(each.at_most_ms) || 0),
    }));
  };
  const draw = (svg, series, unit) => {
    const most = Math.max(...series.flat().filter((value) => value !== null), 0);
    const top = most || 1;
    const step = 300 / (Math.max(series[0].length, FEWEST) - 1);
    const shapes = [shape("line", { class: "axis", x1: 0, x2: 300, y1: 90, y2: 90 }),
      shape("line", { class: "axis", x1: 0, x2: 300, y1: 12, y2: 12 })];
    series.forEach((values, index) => {
      const drawn = values.map((value, place) => value === null ? null
        : `${(place * step).toFixed(1)},${(90 - 78 * value / top).toFixed(1)}`);
      const line = { class: index ? "second" : "first", points: drawn.filter(Boolean).join(" ") };
      shapes.push(shape("polyline", line));
    });
    const label = shape("text", { x: 0, y: 9 });
    label.textContent = unit(most);
    svg.replaceChildren(...shapes, label);
  };
  const showTraffic = (figures) => {
    const last = polls[polls.length - 1];
    if (last && requestsOf(figures)[0] < requestsOf(last)[0]) { // it was restarted
      polls = [];
      points.length = 0;
    }
    const first = polls.length ? polls[Math.max(0, polls.length - WINDOW)] : null;
    const previous = polls[polls.length - 1];
    polls.push(figures);
    if (polls.length > HISTORY) polls.shift();
    const [requests, failed] = requestsOf(figures);
    const recent = first ? between(bucketsOf(first), bucketsOf(figures)) : [];
    const recently = quantile(0.5, recent) !== null;
    const shown = recently ? recent : bucketsOf(figures);
    const seconds = first ? figures.at - first.at : 0;
    const rate = seconds > 0 ? (requests - requestsOf(first)[0]) / seconds : 0;
    set("requests", requests.toLocaleString("en"));
    set("rate", number(rate));
    set("p50", time(quantile(0.5, shown)));
    set("p99", time(quantile(0.99, shown)));
    set("failed", failed.toLocaleString("en"));
    set("over", recently ? "Rate and latency: last minute." : "Latency: since the service started.");
    if (previous) {
      const now = between(bucketsOf(previous), bucketsOf(figures));
      const passed = figures.at - previous.at;
      if (passed > 0) {
        points.push({ rate: (requests - requestsOf(previous)[0]) / passed,
          p50: quantile(0.5, now), p99: quantile(0.99, now) });
        if (points.length > HISTORY) points.shift();
      }
    }
    draw(find("rate-chart"), [points.map((each) => each.rate)], (most) => number(most) + " /s");
    draw(find("latency-chart"), [points.map((each) => each.p50), points.map((each) => each.p99)], time);
    find("rate-chart").setAttribute("aria-label", `Predictions a second over three minutes, now ${number(rate)}`);
    find("latency-chart").setAttribute("aria-label",
      `Latency over three minutes: half below ${time(quantile(0.5, shown))}, 99 % below ${time(quantile(0.99, shown))}`);
    showVersions(figures);
    showRoutes(figures);
  };
  const showVersions = (figures) => {
    const scored = figures.versions.filter((each) => each.rows || each.role);
    const name = (each) => {
      const wanted = each.wanted_share < 1 && each.role !== "shadow" ? `, gets ${percent(each.wanted_share)}` : "";
      return `version ${each.model_version}` + (each.role ? ` (${each.role}${wanted})` : "");
    };
    find("versions").replaceChildren(...scored.map((each) => barLine(
      name(each),
      `${percent(each.share)}, ${each.rows.toLocaleString("en")} rows`, each.share)));
    const shadows = figures.shadows.map((each) => barLine(`shadow: version ${each.model_version}`,
      `${each.rows.toLocaleString("en")} rows, mean difference ${number(each.mean_difference || 0)}`, 0));
    find("versions").append(...shadows);
    find("no-versions").hidden = scored.length > 0;
  };
  const showRoutes = (figures) => {
    const rows = figures.latency.filter((each) => isPrediction(each.route) && each.requests).map((each) => {
      const row = element("tr");
      row.append(element("td", each.route), element("td", each.requests.toLocaleString("en")),
        element("td", time(each.p50_ms)), element("td", time(each.p99_ms)));
      return row;
    });
    find("routes").replaceChildren(...rows);
    const troubles = [["refused by the contract", figures.validation_errors],
      ["refused: too many", figures.rate_limited],
      ["not logged", figures.prediction_log_failures],
      ["models that did not load", figures.model_load_failures]];
    set("troubles", troubles.map(([name, count]) => `${name}: ${count.toLocaleString("en")}`).join(" · "));
  };

  // --- drift, model, card ---

  const showDrift = (drift) => {
    find("no-drift").hidden = drift !== null;
    find("drift").hidden = drift === null;
    if (drift === null) return;
    const words = { ok: "no drift", drift: "drift", insufficient: "too few rows" };
    // A check that found no new row has seen nothing, good or bad.
    const verdict = drift.rows === 0 ? "nothing new to compare" : drift.verdict;
    set("verdict", words[verdict] || verdict);
    find("verdict").className = { ok: "good", drift: "bad" }[verdict] || "";
    const when = drift.checked_at ? new Date(drift.checked_at).toLocaleString() : "";
    const since = drift.since ? new Date(drift.since).toLocaleString() : "";
    facts(find("drift-facts"), [["what", drift.message], ["since", since], ["checked", when],
      ["rows from", drift.source], ["window", drift.window],
      ["rows", drift.rows === null ? "" : drift.rows.toLocaleString("en")],
      ["calibration", drift.calibration], ["note", drift.notes.join("; ")],
      ["version", drift.model_version]]);
    const measured = drift.columns.filter((each) => each.effect !== null)
      .sort((one, other) => other.effect - one.effect).slice(0, 6);
    find("columns").replaceChildren(...measured.map((each) => barLine(
      each.name + (each.drifted ? " (drifted)" : ""),
      number(each.effect) + (each.limit ? `, counts from ${number(each.limit)}` : ""), each.effect,
      each.drifted ? "bad" : "")));
  };
  const cell = (text) => text.replace(/\\(.)/g, "$1").trim();
  const showCard = (markdown) => {
    const parts = [];
    let rows = null;
    let list = null;
    for (const line of markdown.replace(/^---\n[^]*?\n---\n/, "").split("\n")) {
      const isRow = line.startsWith("| ");
      if (!isRow) rows = null;
      if (!line.startsWith("- ")) list = null;
      if (isRow) {
        const cells = line.slice(1, -1).split(/(?<!\\)\|/).map(cell);
        if (cells.every((text) => text === "---")) continue;
        if (!rows) {
          const scroll = element("div", undefined, "scroll");
          rows = element("table", undefined, "text");
          scroll.append(rows);
          scroll.tabIndex = 0;
          parts.push(scroll);
        }
        const kind = rows.children.length ? "td" : "th";
        const row = element("tr");
        row.append(...cells.map((text) => element(kind, text)));
        rows.append(row);
      } else if (line.startsWith("- ")) {
        if (!list) parts.push(list = element("ul"));
        list.append(element("li", cell(line.slice(2))));
      } else if (line.startsWith("## ")) parts.push(element("h3", cell(line.slice(3))));
      else if (line.trim() && !line.startsWith("# ")) parts.push(element("p", cell(line)));
    }
    find("card").replaceChildren(...parts);
  };
  const loadCard = async () => {
    if (!find("card-box").open || !mayAsk) return;
    const version = find("model").dataset.version || "";
    if (shownCard === version) return;
    const answer = await ask("model/card");
    if (answer.ok) showCard(await answer.text());
    else {
      const problem = await answer.json();
      find("card").replaceChildren(element("p", problem.detail), element("p", problem.fix, "soft"));
    }
    shownCard = version;
  };
  const showModel = (model) => {
    find("no-model").hidden = model !== null;
    find("model").hidden = model === null;
    find("model").dataset.version = model ? model.model_version : "";
    const pill = find("state");
    pill.textContent = model ? `version ${model.model_version} serves` : "no model serves";
    pill.className = "pill " + (model ? "good" : "warn");
    if (model === null) return;
    const engines = { kernel: "compiled kernel", numpy: "compiled form in NumPy", pipeline: "fitted pipeline" };
    facts(find("model"), [
      ["model", model.model_name], ["version", model.model_version],
      ["semantic version", model.semantic_version], ["aliases", model.aliases.join(", ")],
      ["predicts", (model.target || "the segment of similar rows") + (model.classes.length ? `: ${model.classes.join(", ")}` : " (a number)")],
      ["scored by", engines[model.engine] || model.engine], ["proof", model.compiled],
      ["registry", model.from_copy ? "away: this machine's copy serves" : "in reach"],
      ["data snapshot", model.gold_snapshot], ["about", model.description.split("\n")[0]]]);
  };
  const noModel = async (answer) => {
    const problem = await answer.json().catch(() => ({}));
    set("no-model", [problem.detail, problem.fix].filter(Boolean).join(" – "));
  };

  // --- rounds ---

  let polling = false;
  const poll = async () => {
    if (polling || document.hidden || !mayAsk) return;
    polling = true;
    try {
      const figures = await read("pipeline/metrics");
      find("live").hidden = figures === null;
      find("no-live").hidden = figures !== null;
      if (figures) {
        showTraffic(figures.serving);
        showDrift(figures.drift);
      }
    } catch {
      find("state").textContent = "the service does not answer";
      find("state").className = "pill bad";
    } finally {
      polling = false;
    }
  };
  const lookAtModel = async () => {
    if (document.hidden || !mayAsk) return;
    try {
      const answer = await ask("model");
      if (!answer.ok) await noModel(answer);
      showModel(answer.ok ? await answer.json() : null);
      await loadCard();
    } catch {
      // the next round of figures says that the service is away
    }
  };
  const start = () => { lookAtModel(); poll(); };

  form.addEventListener("submit", predict);
  form.addEventListener("input", showCurl);
  form.addEventListener("reset", () => { clearErrors(); setTimeout(showCurl); });
  find("card-box").addEventListener("toggle", loadCard);
  find("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    credential = find("key-value").value.trim();
    mayAsk = credential !== "";
    find("key").hidden = mayAsk;
    showCurl();
    start();
  });
  document.addEventListener("visibilitychange", start);
  find("key").hidden = mayAsk;
  showCurl();
  start();
  setInterval(poll, POLL_MS);
  setInterval(lookAtModel, MODEL_MS);
})();
