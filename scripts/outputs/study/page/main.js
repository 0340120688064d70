// The page: its state, and what keys and controls do.
class Page {
  constructor() {
    const data = JSON.parse(document.getElementById("data").textContent);
    this.study = data.study;
    this.host = document.getElementById("views");
    this.state = { overlay: true, hulls: true, hidden: new Set(), score: 0, level: 127.5, width: 255, invert: false, selected: null };
    this.lowest = this.study.operating_point.score_threshold || 0;
    this.views = data.views.map((view) => this.prepare(view, data.reports[view.image_id]));
    const byId = new Map(this.views.filter((view) => !view.prior).map((view) => [view.image_id, view]));
    this.clusters = this.study.clusters.map((told) => {
      const view = byId.get(told.image_id);
      return { view, told, cluster: view.clusters.find((cluster) => cluster.id === told.id) };
    });
    this.hanging = this.study.hanging.some((row) => row[0] && row[1]);
    this.panes = this.place(byId);
    this.current = this.panes[0];
    this.panel = new Panel(this);
    this.controls();
    this.setScore(this.lowest);
    window.addEventListener("resize", () => this.layout());
    document.addEventListener("keydown", (event) => this.key(event));
    this.layout();
    this.reset();
    this.whenComplete();
  }

  prepare(view, report) {
    const marks = view.prior || !report ? [] : report.microcalcifications;
    return { ...view, marks, clusters: (!view.prior && report && report.clusters) || [], markOf: new Map(marks.map((mark) => [mark.id, mark])) };
  }

  place(byId) {
    const panes = [];
    const hung = this.study.hanging.flatMap((row) => (this.hanging || row[1] ? row : [row[0]]));
    this.host.classList.toggle("single", hung.length === 1);
    for (const id of hung) {
      if (id === null) {
        this.host.append(element("div", "", { class: "empty" }));
        continue;
      }
      panes.push(new Pane(byId.get(id), panes.length + 1, this));
      this.host.append(panes.at(-1).host);
    }
    for (const view of this.views.filter((one) => one.prior)) {
      const pane = new Pane(view, 0, this);
      pane.host.hidden = true;
      pane.host.classList.remove("right", "left");
      panes.push(pane);
    }
    return panes;
  }

  layout() {
    const shown = this.panes.filter((pane) => !pane.host.hidden && pane.host.isConnected);
    for (const pane of shown) {
      pane.resize();
      pane.draw();
    }
    return shown;
  }

  // All views at one scale, so that breasts compare.
  reset() {
    Object.assign(this.state, { level: 127.5, width: 255 });
    const shown = this.layout(), fits = shown.filter((pane) => !pane.empty).map((pane) => pane.fit());
    const scale = Math.min(...fits, 100);
    for (const pane of shown) pane.hang(scale);
    this.showWindow();
  }

  whenComplete() {
    const shown = this.panes.filter((pane) => !pane.host.hidden);
    if (shown.every((pane) => pane.complete)) {
      document.documentElement.dataset.readyMs = Math.round(performance.now());
      return;
    }
    requestAnimationFrame(() => this.whenComplete());
  }

  isShown(mark) { return mark.score >= this.state.score && !this.state.hidden.has(mark.kind); }

  membersShown(view, cluster) {
    return cluster.members.filter((id) => view.markOf.has(id) && this.isShown(view.markOf.get(id))).length;
  }

  draw() {
    for (const pane of this.panes) pane.draw();
    this.panel.update();
    const marks = this.views.flatMap((view) => view.marks), counted = marks.filter((mark) => mark.counted);
    const shown = counted.filter((mark) => this.isShown(mark)).length;
    const clusters = this.clusters.filter(({ view, cluster }) => this.membersShown(view, cluster)).length;
    const failed = this.study.summary.images - this.study.summary.images_done;
    const but = failed ? `; ${failed} of ${this.study.summary.images} images not done` : "";
    document.getElementById("shown").textContent = `${shown} of ${counted.length} MCs and ${clusters} of ${this.clusters.length} clusters shown${but}`;
  }

  setScore(score) {
    this.state.score = Math.max(0, Math.min(1, score));
    document.getElementById("score").value = this.state.score;
    document.getElementById("score-shown").textContent = this.state.score.toFixed(3);
    for (const button of document.querySelectorAll("#presets button")) {
      button.setAttribute("aria-pressed", Number(button.dataset.score) === this.state.score);
    }
    this.draw();
  }

  // Grey values as a CSS filter: linear between black and white of the window.
  showWindow() {
    const { level, width, invert } = this.state;
    document.getElementById("level").value = level;
    document.getElementById("width").value = width;
    document.getElementById("invert").checked = invert;
    for (const pane of this.panes) {
      const own = pane.window || { level, width };
      const middle = Math.max(own.level / 255, 0.02); // drawn as 1/2
      const filter = `brightness(${0.5 / middle}) contrast(${(2 * middle * 255) / own.width})`;
      pane.picture.style.filter = filter + (invert ? " invert(1)" : "");
    }
    document.documentElement.dataset.window = `${level},${width},${invert}`;
  }

  changeWindow(level, width) {
    for (const pane of this.panes) pane.window = null;
    this.state.level = Math.max(0, Math.min(255, this.state.level + level));
    this.state.width = Math.max(8, Math.min(510, this.state.width * width));
    this.showWindow();
  }

  // A view's own window, of what is in view there.
  fitWindow() {
    const [low, high] = this.current.range();
    this.current.window = { level: (low + high) / 2, width: Math.max(8, high - low) };
    this.showWindow();
  }

  controls() {
    const by = (id) => document.getElementById(id);
    by("overlay").addEventListener("change", (event) => this.set("overlay", event.target.checked));
    by("hulls").addEventListener("change", (event) => this.set("hulls", event.target.checked));
    by("invert").addEventListener("change", (event) => { this.state.invert = event.target.checked; this.showWindow(); });
    by("reset").addEventListener("click", () => this.all());
    by("fit").addEventListener("click", () => this.fitWindow());
    by("help-button").addEventListener("click", () => by("help").showModal());
    for (const name of ["level", "width"]) {
      by(name).addEventListener("input", (event) => {
        this.state[name] = Number(event.target.value);
        this.changeWindow(0, 1);
      });
    }
    by("score").addEventListener("input", (event) => this.setScore(Number(event.target.value)));
    this.kinds(by("kinds"));
    this.presets(by("presets"), by("score-track"));
  }

  kinds(host) {
    const marks = this.views.flatMap((view) => view.marks);
    for (const [kind, look] of Object.entries(KINDS)) {
      const own = marks.filter((mark) => mark.kind === kind);
      if (!own.length) continue;
      const label = host.appendChild(element("label"));
      const box = label.appendChild(element("input", "", { type: "checkbox", "data-kind": kind }));
      box.checked = true;
      box.addEventListener("change", () => {
        this.state.hidden[box.checked ? "delete" : "add"](kind);
        this.draw();
      });
      label.append(sampleOf(look, own[0].counted));
      label.append(`${kind}: ${own.length}${own[0].counted ? "" : " (not counted)"}`);
    }
    host.hidden = !marks.length;
  }

  presets(host, track) {
    const points = Object.entries(this.study.operating_point.presets).sort((a, b) => a[1] - b[1]);
    const named = points.some(([, score]) => score === this.lowest);
    for (const [name, score] of named ? points : [["as run", this.lowest], ...points]) {
      const button = host.appendChild(element("button", `${name} ${score.toFixed(3)}`, { type: "button", "data-score": score }));
      button.disabled = score < this.lowest;
      if (button.disabled) button.title = "not in these results: run again with this preset";
      button.addEventListener("click", () => this.setScore(score));
      const tick = track.appendChild(element("i", "", { title: name }));
      tick.style.left = `calc(8px + (100% - 16px) * ${score})`;
    }
  }

  set(name, value) {
    this.state[name] = value;
    document.getElementById(name).checked = value;
    this.draw();
  }

  // Tell of a cluster or a mark, and show it large.
  select(view, thing, zoom = true) {
    const pane = this.panes.find((one) => one.view === view);
    if (zoom && (pane.host.hidden || this.comparing)) this.only([], "all");
    this.state.selected = thing;
    if (zoom && "members" in thing) {
      const rows = thing.hull_px.map((corner) => corner[0] * view.spacing[0]), cols = thing.hull_px.map((corner) => corner[1] * view.spacing[1]);
      const [high, wide] = [rows, cols].map((part) => Math.max(...part) - Math.min(...part) + 4);
      pane.show(thing.row, thing.col, Math.min(pane.wide / wide, pane.high / high) * 0.8);
      pane.host.scrollIntoView({ block: "nearest" });
      this.current = pane;
    }
    else if (zoom && pane.scale * view.spacing[0] < 1.5) pane.show(thing.row, thing.col, 3 / view.spacing[0]);
    this.panel.details(view, thing);
    this.draw();
  }

  step(by) {
    const open = this.clusters.filter(({ view, cluster }) => this.membersShown(view, cluster));
    if (!open.length) return;
    const place = open.findIndex(({ cluster }) => cluster === this.state.selected);
    const next = open[place < 0 ? (by > 0 ? 0 : open.length - 1) : (place + by + open.length) % open.length];
    this.select(next.view, next.cluster);
    this.panel.rows.get(next.cluster).scrollIntoView({ block: "nearest" });
  }

  only(panes, mode) {
    this.comparing = mode === "pair";
    for (const pane of this.panes) {
      pane.host.hidden = panes.length > 0 && !panes.includes(pane);
      if (pane.view.prior && !panes.length) pane.host.hidden = true;
    }
    for (const empty of document.querySelectorAll(".empty")) empty.hidden = panes.length > 0;
    this.host.classList.remove("single", "pair");
    if (panes.length) this.host.classList.add(mode);
    else if (this.study.hanging.flat().filter((id) => id !== null).length === 1) this.host.classList.add("single");
    document.documentElement.dataset.mode = mode;
    const shown = this.layout(), kept = shown.filter((pane) => !pane.empty);
    const scale = Math.min(...kept.map((pane) => pane.fit()), 100);
    for (const pane of shown) pane.hang(scale);
    (panes.at(-1) || this.current).host.focus();
  }

  all() {
    Object.assign(this.state, { selected: null, level: 127.5, width: 255, invert: false });
    this.state.hidden.clear();
    for (const pane of this.panes) pane.window = null;
    for (const box of document.querySelectorAll("#kinds input")) box.checked = true;
    for (const name of ["overlay", "hulls"]) this.set(name, true);
    this.panel.details(null, null);
    this.only([], "all");
    this.showWindow();
    this.setScore(this.lowest);
  }

  enlarge(pane) { this.only(document.documentElement.dataset.mode === "single" ? [] : [pane], document.documentElement.dataset.mode === "single" ? "all" : "single"); }

  compare(imageId) {
    const prior = this.panes.find((pane) => pane.view.prior && pane.view.image_id === imageId);
    const current = this.panes.find((pane) => !pane.view.prior && pane.view.image_id === imageId);
    if (!prior || document.documentElement.dataset.mode === "pair") {
      this.only([], "all");
      return;
    }
    if (!prior.host.isConnected) current.host.before(prior.host); // prior left, current right
    this.only([prior, current], "pair");
  }

  key(event) {
    const target = event.target, dialog = document.getElementById("help");
    if (event.ctrlKey || event.altKey || event.metaKey || dialog.open) return;
    const native = target.tagName === "INPUT" || target.tagName === "BUTTON" || target.tagName === "SUMMARY";
    const pane = this.current, onPane = pane && target === pane.host;
    const actions = {
      "?": () => dialog.showModal(),
      "+": () => pane.zoom(1.25), "=": () => pane.zoom(1.25), "-": () => pane.zoom(0.8), "0": () => this.all(),
      "n": () => this.step(1), "p": () => this.step(-1),
      "o": () => this.set("overlay", !this.state.overlay), "u": () => this.set("hulls", !this.state.hulls),
      "[": () => this.setScore(this.state.score - 0.01), "]": () => this.setScore(this.state.score + 0.01),
      "b": () => this.changeWindow(-8, 1), "d": () => this.changeWindow(8, 1),
      "a": () => this.fitWindow(),
      "t": () => this.changeWindow(0, 1 / 1.15), "g": () => this.changeWindow(0, 1.15),
      "i": () => { this.state.invert = !this.state.invert; this.showWindow(); },
      "c": () => this.compare(pane.view.image_id), "Escape": () => this.only([], "all"),
    };
    const moves = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] };
    if (event.key in moves && (onPane || !native)) pane.move(...moves[event.key]);
    else if (event.key === "Enter" && onPane) this.enlarge(pane);
    else if (/^[1-9]$/.test(event.key)) {
      const chosen = this.panes.find((one) => one.number === Number(event.key));
      if (!chosen) return;
      if (chosen.host.hidden) this.only([chosen], "single");
      chosen.host.focus();
    }
    else if (event.key in actions) actions[event.key]();
    else return;
    event.preventDefault();
  }
}

new Page();
