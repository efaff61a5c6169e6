// The static explorer: precomputed walks off the plateau. Reads the JSON that the page carries; needs no network.
"use strict";

(() => {
  const root = document.getElementById("explorer-app");
  if (!root) return;
  const data = JSON.parse(document.getElementById("explorer-data").textContent);
  const SVG = "http://www.w3.org/2000/svg";
  const [W, H, LEFT, BOTTOM, TOP, RIGHT] = [560, 250, 52, 40, 12, 52];

  const make = (tag, attributes = {}, parent = null, text = "") => {
    const element = document.createElementNS(tag === "svg" || parent?.namespaceURI === SVG ? SVG : "http://www.w3.org/1999/xhtml", tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    if (text) element.textContent = text;
    parent?.appendChild(element);
    return element;
  };

  // The state lives in the address, so that a link reproduces a view.
  const initial = new URLSearchParams(location.hash.slice(1));
  const pick = (name, allowed) => (allowed.includes(initial.get(name)) ? initial.get(name) : allowed[0]);
  const whole = (name, limit) => Math.min(Math.max(parseInt(initial.get(name) ?? "0", 10) || 0, 0), limit - 1);
  const state = {
    prompt: whole("prompt", data.prompts.length),
    kind: pick("kind", data.kinds),
    mode: pick("mode", data.modes.map((mode) => mode.name)),
    size: whole("size", data.modes[0].sizes.length),
  };

  const remember = () => history.replaceState(null, "", "#" + new URLSearchParams(state));

  // Controls ----------------------------------------------------------------------------------------------------------
  root.replaceChildren();
  const controls = make("div", { class: "explorer-controls" }, root);
  const labelled = (id, text) => make("label", { for: id }, make("div", {}, controls), text).parentNode;
  const select = (id, text, options, chosen, change) => {
    const element = make("select", { id }, labelled(id, text));
    options.forEach(([value, label]) => make("option", { value }, element, label));
    element.value = chosen;
    element.addEventListener("change", () => { change(element.value); show(); });
    return element;
  };
  select("explorer-prompt", "Prompt", data.prompts.map((text, i) => [i, text]), state.prompt, (v) => { state.prompt = +v; });
  select("explorer-kind", "Direction", data.kinds.map((kind) => [kind, kind]), state.kind, (v) => { state.kind = v; });
  select("explorer-mode", "Path", data.modes.map((mode) => [mode.name, mode.label]), state.mode, (v) => { state.mode = v; });
  const slider = make("input", { id: "explorer-size", type: "range", min: 0, max: data.modes[0].sizes.length - 1, step: 1 }, labelled("explorer-size", "Size"));
  const reading = make("output", { for: "explorer-size", id: "explorer-reading" }, slider.parentNode);
  slider.value = state.size;
  slider.addEventListener("input", () => { state.size = +slider.value; show(); });

  const status = make("p", { id: "explorer-status", "aria-live": "polite" }, root);
  const panels = make("div", { class: "explorer-panels" }, root);
  const chart = make("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", id: "explorer-curve" }, panels);
  const bars = make("div", { id: "explorer-bars", role: "list", "aria-label": "most probable next tokens" }, panels);

  // Drawing -----------------------------------------------------------------------------------------------------------
  const number = (x) => String(+x.toPrecision(3));

  const show = () => {
    const m = data.modes.findIndex((mode) => mode.name === state.mode);
    const walk = data.walks[state.prompt][m][data.kinds.indexOf(state.kind)];
    const { sizes, unit } = data.modes[m];
    remember();
    draw(walk, sizes, data.modes[m]);
    const i = state.size;
    const top = walk.probability[i].indexOf(Math.max(...walk.probability[i]));
    const first = walk.probability[0].indexOf(Math.max(...walk.probability[0]));
    const flip = walk.probability.findIndex((p) => p.indexOf(Math.max(...p)) !== first);
    reading.textContent = `${number(sizes[i])}${unit}`;
    slider.setAttribute("aria-valuetext", reading.textContent);
    status.replaceChildren();
    const say = (id, label, value) => { status.append(`${label} `); make("strong", { id }, status, value); status.append("; "); };
    say("explorer-kl", "KL", `${number(walk.kl[i])} nats`);
    say("explorer-l2", "L2 at the last block", number(walk.l2[i]));
    say("explorer-threshold", `KL reaches ${data.level} at`, walk.threshold === null ? "no size tried" : `${number(walk.threshold)}${unit}`);
    say("explorer-flip", "the most probable token changes at", flip < 0 ? "no size tried" : `${number(sizes[flip])}${unit}`);
    status.append("most probable now: ");
    make("strong", { id: "explorer-top" }, status, JSON.stringify(walk.tokens[top]));
    bars.replaceChildren();
    walk.tokens.forEach((token, t) => {
      const p = walk.probability[i][t];
      const row = make("div", { role: "listitem", class: t === top ? "top" : "", "data-probability": p }, bars);
      make("code", {}, row, JSON.stringify(token));
      make("span", { class: "bar", style: `width:${(100 * p).toFixed(2)}%` }, make("span", { class: "track" }, row));
      make("span", { class: "value" }, row, `${(100 * p).toFixed(1)} %`);
    });
  };

  const draw = (walk, sizes, mode) => {
    const x = (size) => LEFT + ((W - LEFT - RIGHT) * size) / sizes[sizes.length - 1];
    const y = (value, most) => H - BOTTOM - ((H - BOTTOM - TOP) * value) / most;
    const most = { kl: Math.max(...walk.kl, data.level * 1.2), l2: Math.max(...walk.l2, 1e-9) };
    chart.replaceChildren();
    make("title", {}, chart, `KL divergence and L2 distance against size for ${state.kind} from the prompt ${data.prompts[state.prompt]}`);
    const text = (px, py, content, cls = "", anchor = "middle") => make("text", { x: px, y: py, "text-anchor": anchor, class: cls }, chart, content);
    for (let t = 0; t <= 4; t++) {
      const size = (sizes[sizes.length - 1] * t) / 4;
      text(x(size), H - BOTTOM + 16, `${number(size)}${mode.unit === "°" ? "°" : ""}`);
      text(LEFT - 6, y((most.kl * t) / 4, most.kl) + 4, ((most.kl * t) / 4).toFixed(1), "kl", "end");
      text(W - RIGHT + 6, y((most.l2 * t) / 4, most.l2) + 4, ((most.l2 * t) / 4).toFixed(0), "l2", "start");
    }
    text((LEFT + W - RIGHT) / 2, H - 6, mode.axis);
    text(LEFT + 4, TOP + 8, "KL (nats)", "kl", "start");
    text(W - RIGHT - 4, TOP + 8, "L2", "l2", "end");
    const line = (x1, y1, x2, y2, cls) => make("line", { x1, y1, x2, y2, class: cls }, chart);
    line(LEFT, H - BOTTOM, W - RIGHT, H - BOTTOM, "axis");
    line(LEFT, y(data.level, most.kl), W - RIGHT, y(data.level, most.kl), "level");
    if (walk.threshold !== null) line(x(walk.threshold), TOP, x(walk.threshold), H - BOTTOM, "threshold");
    for (const name of ["l2", "kl"]) {
      const points = sizes.map((size, i) => `${x(size).toFixed(1)},${y(walk[name][i], most[name]).toFixed(1)}`).join(" ");
      make("polyline", { points, class: name }, chart);
      make("circle", { cx: x(sizes[state.size]), cy: y(walk[name][state.size], most[name]), r: 5, class: name, "data-value": walk[name][state.size] }, chart);
    }
  };

  show();
})();
