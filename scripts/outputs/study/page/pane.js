// One view: tiles of a mammogram, marks above them, zoom and move. Places are mm of the picture as it is shown
// (mirrored or not): u to the right, v down, from the picture's corner.
const MOST_TILES = 80; // decoded at a time
const decoded = new Map();

function tileOf(key, whenThere) {
  const known = decoded.get(key);
  if (known) {
    decoded.delete(key); // the last used one is the last to go
    decoded.set(key, known);
    return known.ready ? known.image : null;
  }
  const source = document.getElementById(key);
  if (!source) return null;
  const entry = { image: new Image(), ready: false };
  decoded.set(key, entry);
  if (decoded.size > MOST_TILES) decoded.delete(decoded.keys().next().value);
  entry.image.src = "data:image/jpeg;base64," + source.textContent;
  entry.image.decode().then(() => {
    entry.ready = true;
    whenThere();
  }, () => {});
  return null;
}

class Pane {
  constructor(view, number, page) {
    Object.assign(this, { view, number, page, scale: 1, u: 0, v: 0, waiting: false });
    this.host = document.createElement("figure");
    this.host.className = "pane " + ({ R: "right", L: "left" }[view.laterality] || "");
    this.host.tabIndex = 0;
    this.host.dataset.view = view.id;
    this.host.setAttribute("role", "group");
    this.picture = this.host.appendChild(document.createElement("canvas"));
    this.overlay = this.host.appendChild(document.createElement("canvas"));
    const caption = this.host.appendChild(document.createElement("figcaption"));
    const mirrored = view.mirrored ? " · mirrored for display" : "";
    caption.textContent = `${number ? number + " · " : ""}${view.label}: ${view.told}${mirrored}`;
    this.host.setAttribute("aria-label", caption.textContent + (view.message ? ". " + view.message : ""));
    if (view.message) {
      const message = this.host.appendChild(document.createElement("div"));
      message.className = "message" + (view.failed ? "" : " plain");
      message.textContent = view.message;
    }
    this.listen();
  }

  get empty() { return !this.view.levels.length; }

  resize() {
    const ratio = window.devicePixelRatio || 1;
    this.wide = this.host.clientWidth;
    this.high = this.host.clientHeight;
    for (const canvas of [this.picture, this.overlay]) {
      canvas.width = Math.round(this.wide * ratio);
      canvas.height = Math.round(this.high * ratio);
    }
  }

  // Corners of what is to be seen at first, mm: the breast, or the whole picture.
  box() {
    const view = this.view;
    const [top, left, bottom, right] = view.box;
    const [first, second] = [this.toU(left - 0.5), this.toU(right - 0.5)];
    return { top: top * view.spacing[0], bottom: bottom * view.spacing[0], left: Math.min(first, second), right: Math.max(first, second) };
  }

  fit() {
    const box = this.box();
    return Math.min(this.wide / (box.right - box.left), (this.high - 30) / (box.bottom - box.top));
  }

  // The chest wall at the middle of the page: of a right breast it is on the right.
  hang(scale) {
    const box = this.box();
    this.scale = scale;
    this.v = (box.top + box.bottom) / 2 - 10 / scale;
    this.u = (box.left + box.right) / 2;
    if (this.page.hanging && this.view.laterality === "R") this.u = box.right - this.wide / scale / 2;
    if (this.page.hanging && this.view.laterality === "L") this.u = box.left + this.wide / scale / 2;
    this.draw();
  }

  toU(col) { return (this.view.mirrored ? this.view.cols - 0.5 - col : col + 0.5) * this.view.spacing[1]; }
  x(col) { return this.wide / 2 + (this.toU(col) - this.u) * this.scale; }
  y(row) { return this.high / 2 + ((row + 0.5) * this.view.spacing[0] - this.v) * this.scale; }

  show(row, col, scale) {
    this.u = this.toU(col);
    this.v = (row + 0.5) * this.view.spacing[0];
    this.scale = Math.min(scale, this.most());
    this.draw();
  }

  most() { return 16 / Math.min(...this.view.spacing); } // 16 px of the screen for one of the image

  zoom(factor, x = this.wide / 2, y = this.high / 2) {
    const before = this.scale;
    this.scale = Math.max(0.3, Math.min(this.most(), before * factor));
    this.u += (x - this.wide / 2) * (1 / before - 1 / this.scale);
    this.v += (y - this.high / 2) * (1 / before - 1 / this.scale);
    this.draw();
  }

  move(right, down) {
    this.u -= right / this.scale;
    this.v -= down / this.scale;
    this.draw();
  }

  draw() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      if (this.host.hidden || !this.wide) return;
      this.drawPicture();
      this.drawOverlay();
      Object.assign(this.host.dataset, { scale: this.scale.toFixed(4), u: this.u.toFixed(3), v: this.v.toFixed(3) });
    });
  }

  // The level whose pixels are about as large as the screen's, over coarser ones while its tiles are decoded.
  level() {
    const ratio = window.devicePixelRatio || 1, { levels, cols, spacing } = this.view;
    let best = levels.length - 1;
    while (best > 0 && (this.scale * ratio * spacing[1] * cols) / levels[best].cols > 1.3) best -= 1;
    while (best < levels.length - 1 && !levels[best].tiles.length) best += 1;
    return best;
  }

  drawPicture() {
    const context = this.picture.getContext("2d"), view = this.view, ratio = window.devicePixelRatio || 1;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = "#000";
    context.fillRect(0, 0, this.picture.width, this.picture.height);
    this.complete = true;
    if (this.empty) return;
    context.imageSmoothingQuality = "high";
    for (let level = view.levels.length - 1; level >= this.level(); level -= 1) this.drawLevel(context, level, ratio);
  }

  drawLevel(context, number, ratio) {
    const view = this.view, level = view.levels[number];
    const wide = (view.cols * view.spacing[1] * this.scale) / level.cols; // of a pixel, on the screen
    const high = (view.rows * view.spacing[0] * this.scale) / level.rows;
    const sign = view.mirrored ? -1 : 1;
    const left = this.x(-0.5), top = this.y(-0.5);
    context.setTransform(sign * wide * ratio, 0, 0, high * ratio, left * ratio, top * ratio);
    for (const name of level.tiles) {
      const [row, col] = name.split(",").map(Number), side = view.tile;
      const ends = [col, Math.min(col + 1, level.cols / side)].map((part) => left + sign * part * side * wide);
      const upper = top + row * side * high, lower = upper + side * high;
      if (Math.max(...ends) < 0 || Math.min(...ends) > this.wide || lower < 0 || upper > this.high) continue;
      const image = tileOf(`${view.id}-${number}-${row}-${col}`, () => this.draw());
      if (image) context.drawImage(image, col * side, row * side);
      else this.complete = false;
    }
  }

  drawOverlay() {
    const context = this.overlay.getContext("2d"), ratio = window.devicePixelRatio || 1, state = this.page.state;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, this.wide, this.high);
    this.places = [];
    if (this.view.trace && this.page.comparing) this.drawTrace(context);
    else if (!this.view.prior) this.drawFindings(context, state);
    this.drawScale(context);
    this.host.dataset.marks = this.places.length;
  }

  drawFindings(context, state) {
    const view = this.view;
    const near = this.scale * view.spacing[0] >= 1.2;
    const marks = state.overlay ? view.marks.filter((mark) => this.page.isShown(mark)) : [];
    for (const mark of marks) {
      const x = this.x(mark.col), y = this.y(mark.row), look = KINDS[mark.kind] || KINDS["individual MC"];
      const radius = Math.max(Math.min(2 + this.scale, 6), 0.75 * mark.equivalent_diameter_mm * this.scale + 3);
      const selected = state.selected === mark;
      const outline = near && view.outlines[mark.id];
      if (outline) this.drawPolygon(context, outline, look.colour, 1.2);
      if (!outline || selected || mark.kind !== "individual MC") {
        const text = selected ? `${mark.id}${look.letter}` : this.scale >= 4 ? look.letter : "";
        drawMark(context, look, x, y, radius, { counted: mark.counted, selected, text });
      }
      this.places.push({ x, y, radius, mark });
    }
    for (const cluster of state.hulls ? view.clusters : []) {
      if (!this.page.membersShown(view, cluster)) continue;
      const selected = state.selected === cluster;
      this.drawPolygon(context, cluster.hull_px, "#7ae582", selected ? 3 : 1.2, [8, 4]);
      const corners = cluster.hull_px.map(([row, col]) => [this.x(col), this.y(row)]);
      const corner = corners.reduce((best, one) => (one[0] - one[1] > best[0] - best[1] ? one : best));
      drawText(context, `${cluster.id}`, corner[0] + 3, corner[1] - 3, "#7ae582");
    }
  }

  drawTrace(context) {
    for (const place of this.view.trace) {
      const at = place[this.view.prior ? "prior" : "current"];
      if (!at) continue;
      const x = this.x(at[1]), y = this.y(at[0]), look = STATUSES[place.status] || STATUSES.unchanged;
      const text = this.scale < 8 ? "" : String(place.number);
      drawMark(context, look, x, y, Math.max(5, 0.4 * this.scale), { counted: true, text });
      this.places.push({ x, y, radius: 6 });
    }
  }

  drawPolygon(context, corners, colour, width, dash) {
    context.beginPath();
    for (const [row, col] of corners) context.lineTo(this.x(col), this.y(row));
    context.closePath();
    strokeTwice(context, colour, width, dash);
  }

  drawScale(context) {
    if (this.empty) return;
    const length = [50, 20, 10, 5, 2, 1, 0.5].find((mm) => mm * this.scale <= this.wide / 4) || 0.2;
    const left = this.view.laterality === "R" ? 10 : this.wide - 10 - length * this.scale, y = this.high - 10;
    context.fillStyle = "#000";
    context.fillRect(left - 1, y - 1, length * this.scale + 2, 4);
    context.fillStyle = "#fff";
    context.fillRect(left, y, length * this.scale, 2);
    drawText(context, `${length} mm`, left, y - 4, "#fff");
  }

  // Grey values of what is in view, [0, 255]: the darkest and brightest but for a few.
  range() {
    const small = document.createElement("canvas");
    small.width = small.height = 128;
    const context = small.getContext("2d", { willReadFrequently: true });
    context.drawImage(this.picture, 0, 0, 128, 128);
    const values = context.getImageData(0, 0, 128, 128).data.filter((value, place) => place % 4 === 0 && value > 3).sort();
    return values.length < 100 ? [0, 255] : [values[Math.floor(values.length * 0.01)], values[Math.floor(values.length * 0.998)]];
  }

  pick(x, y) {
    let best = null;
    for (const place of this.places) {
      const distance = Math.hypot(place.x - x, place.y - y);
      if (distance <= Math.max(place.radius, 8) && (!best || distance < best.distance)) best = { ...place, distance };
    }
    return best && best.mark;
  }

  listen() {
    let start = null, moved = false;
    const place = (event) => {
      const edge = this.host.getBoundingClientRect();
      return [event.clientX - edge.left, event.clientY - edge.top];
    };
    this.host.addEventListener("pointerdown", (event) => {
      start = [event.clientX, event.clientY];
      moved = false;
      this.host.setPointerCapture(event.pointerId);
    });
    this.host.addEventListener("pointermove", (event) => {
      if (!start) return;
      const [right, down] = [event.clientX - start[0], event.clientY - start[1]];
      if (!moved && Math.hypot(right, down) < 4) return;
      moved = true;
      start = [event.clientX, event.clientY];
      this.move(right, down);
    });
    for (const end of ["pointerup", "pointercancel"]) this.host.addEventListener(end, () => { start = null; });
    this.host.addEventListener("click", (event) => {
      const mark = moved ? null : this.pick(...place(event));
      if (mark) this.page.select(this.view, mark, false);
    });
    this.host.addEventListener("dblclick", () => this.page.enlarge(this));
    this.host.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoom(Math.exp(-event.deltaY / 400), ...place(event));
    }, { passive: false });
    this.host.addEventListener("focus", () => { this.page.current = this; });
  }
}
