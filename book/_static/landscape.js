// A plane of KL divergences as a surface that can be turned, beside a map with the value under the pointer; and the triangle map.
"use strict";

(() => {
  const VIRIDIS = ["#440154", "#482878", "#3e4989", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6ece58", "#b5de2b", "#fde725"];
  const color = (t) => {
    const place = Math.min(Math.max(t, 0), 1) * (VIRIDIS.length - 1), i = Math.min(Math.floor(place), VIRIDIS.length - 2), f = place - i;
    const part = (hex, k) => parseInt(hex.slice(1 + 2 * k, 3 + 2 * k), 16);
    return `rgb(${[0, 1, 2].map((k) => Math.round(part(VIRIDIS[i], k) * (1 - f) + part(VIRIDIS[i + 1], k) * f)).join(",")})`;
  };
  const make = (tag, attributes, parent, text = "") => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.textContent = text;
    return parent.appendChild(element);
  };
  const canvas = (parent, label, width, height) => make("canvas", { width, height, role: "img", tabindex: 0, "aria-label": label }, parent);

  const landscape = (root, data) => {
    root.replaceChildren();
    const { x, y, z } = data, rows = z.length, columns = z[0].length, top = Math.max(...z.flat());
    const panels = make("div", { class: "explorer-panels" }, root);
    const surface = canvas(panels, "surface of the KL divergence over the plane; arrow keys turn it", 460, 340);
    const map = canvas(panels, "map of the KL divergence; the value under the pointer is read out below", 460, 340);
    const read = make("output", { class: "landscape-value" }, root, "Drag the surface, or turn it with the arrow keys; point at the map to read values.");
    const span = (grid) => { const all = grid.flat(); return [Math.min(...all), Math.max(...all)]; };
    const [[x0, x1], [y0, y1]] = [span(x), span(y)];
    const scale = Math.max(x1 - x0, y1 - y0);
    let [azimuth, elevation] = [-0.6, 0.85];

    const project = (i, j) => {
      const px = (x[i][j] - (x0 + x1) / 2) / scale, py = (y[i][j] - (y0 + y1) / 2) / scale, pz = 0.45 * (z[i][j] / top - 0.4);
      const [c, s] = [Math.cos(azimuth), Math.sin(azimuth)];
      const across = c * px - s * py, away = s * px + c * py;
      return [230 + 330 * across, 175 - 330 * (away * Math.sin(elevation) + pz * Math.cos(elevation)), away];
    };
    const drawSurface = () => {
      const context = surface.getContext("2d");
      context.clearRect(0, 0, surface.width, surface.height);
      const points = z.map((row, i) => row.map((_, j) => project(i, j)));
      const faces = [];
      for (let i = 0; i + 1 < rows; i++) for (let j = 0; j + 1 < columns; j++) {
        const corners = [points[i][j], points[i][j + 1], points[i + 1][j + 1], points[i + 1][j]];
        faces.push([corners.reduce((sum, p) => sum + p[2], 0), corners, (z[i][j] + z[i + 1][j + 1]) / 2]);
      }
      faces.sort((a, b) => b[0] - a[0]);
      for (const [, corners, value] of faces) {
        context.beginPath();
        corners.forEach(([px, py], k) => (k ? context.lineTo(px, py) : context.moveTo(px, py)));
        context.closePath();
        context.fillStyle = context.strokeStyle = color(Math.sqrt(value / top));
        context.fill();
        context.stroke();
      }
    };
    const size = 320 / scale, mapX = (v) => 20 + (v - x0) * size, mapY = (v) => 330 - (v - y0) * size;
    const drawMap = () => {
      const context = map.getContext("2d");
      for (let i = 0; i + 1 < rows; i++) for (let j = 0; j + 1 < columns; j++) {
        context.beginPath();
        [[i, j], [i, j + 1], [i + 1, j + 1], [i + 1, j]].forEach(([a, b], k) => context[k ? "lineTo" : "moveTo"](mapX(x[a][b]), mapY(y[a][b])));
        context.closePath();
        context.fillStyle = context.strokeStyle = color(Math.sqrt(z[i][j] / top));
        context.fill();
        context.stroke();
      }
      context.font = "bold 15px sans-serif";
      data.corners.forEach(([cx, cy], k) => {
        context.beginPath();
        context.arc(mapX(cx), mapY(cy), 5, 0, 7);
        context.fillStyle = "white";
        context.fill();
        context.strokeStyle = "black";
        context.stroke();
        context.fillText("ABC"[k], mapX(cx) + 9, mapY(cy) - 7);
      });
    };
    map.addEventListener("pointermove", (event) => {
      const ratio = map.width / map.clientWidth, at = [event.offsetX * ratio, event.offsetY * ratio];
      let best = [Infinity, 0, 0];
      for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) {
        const distance = Math.hypot(mapX(x[i][j]) - at[0], mapY(y[i][j]) - at[1]);
        if (distance < best[0]) best = [distance, i, j];
      }
      read.textContent = `KL to the nearest of A, B and C: ${z[best[1]][best[2]].toFixed(3)} nats`;
    });
    const turn = (a, e) => { azimuth += a; elevation = Math.min(Math.max(elevation + e, 0.1), 1.5); drawSurface(); };
    surface.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, 0.1], ArrowDown: [0, -0.1] }[event.key];
      if (step) { turn(...step); event.preventDefault(); }
    });
    surface.addEventListener("pointerdown", (event) => surface.setPointerCapture(event.pointerId));
    surface.addEventListener("pointermove", (event) => { if (event.buttons) turn(event.movementX / 120, event.movementY / 120); });
    drawSurface();
    drawMap();
  };

  const triangle = (root, data) => {
    root.replaceChildren();
    const map = canvas(root, "triangle map of threshold angles; the value under the pointer is read out below", 460, 400);
    const read = make("output", { class: "landscape-value" }, root, "Point at the map to read threshold angles.");
    const place = ([a, , c]) => [30 + 400 * (0.5 * a + c), 380 - 400 * (Math.sqrt(3) / 2) * a];
    const known = data.values.filter((v) => v !== null), [low, high] = [Math.min(...known), Math.max(...known)];
    const context = map.getContext("2d");
    const nearest = (px, py) => data.weights.map((w, i) => [Math.hypot(place(w)[0] - px, place(w)[1] - py), i]).sort((a, b) => a[0] - b[0])[0];
    const inside = (px, py) => { const a = (380 - py) / (400 * Math.sqrt(0.75)), c = (px - 30) / 400 - a / 2; return a >= -0.03 && c >= -0.03 && a + c <= 1.03; };
    for (let px = 0; px < 460; px += 4) for (let py = 0; py < 400; py += 4) if (inside(px, py)) {
      const value = data.values[nearest(px, py)[1]];
      context.fillStyle = value === null ? "#bbbbbb" : color((value - low) / (high - low || 1));
      context.fillRect(px - 2, py - 2, 4, 4);
    }
    map.addEventListener("pointermove", (event) => {
      const ratio = map.width / map.clientWidth;
      const [distance, i] = nearest(event.offsetX * ratio, event.offsetY * ratio);
      if (distance < 60) read.textContent = `weights ${data.labels.map((label, k) => `${label} ${data.weights[i][k].toFixed(2)}`).join(", ")}: ` +
        (data.values[i] === null ? "no threshold up to 180°" : `${data.values[i].toFixed(1)}°`);
    });
  };

  for (const [name, draw] of Object.entries({ landscape, triangle })) {
    const root = document.getElementById(`${name}-app`), carried = document.getElementById(`${name}-data`);
    if (root && carried) draw(root, JSON.parse(carried.textContent));
  }
})();
