// The side: tables of clusters, details of what is chosen, follow-ups.
function element(tag, text, attributes) {
  const made = document.createElement(tag);
  if (text !== undefined && text !== null) made.textContent = String(text);
  for (const [name, value] of Object.entries(attributes || {})) made.setAttribute(name, value);
  return made;
}

function numberText(value) {
  if (value === null || value === undefined) return "–";
  if (typeof value !== "number") return String(value);
  return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(4)));
}

const words = (name) => name.replaceAll("_", " ").replace(/ mm2$/, " [mm²]").replace(/ mm$/, " [mm]");

function tableOf(caption, rows, head) {
  const table = element("table");
  table.append(element("caption", caption));
  if (head) {
    const line = element("tr");
    line.append(...head.map((text) => element("th", text)));
    table.appendChild(element("thead")).append(line);
  }
  const body = table.appendChild(element("tbody"));
  for (const cells of rows) {
    const line = element("tr");
    line.append(...cells.map((cell, place) => (place ? element("td", numberText(cell), { class: "number" }) : element("th", cell, { scope: "row" }))));
    body.append(line);
  }
  return table;
}

// A mark's shape for a legend.
function sampleOf(look, counted) {
  const sample = element("canvas", "", { width: 64, height: 44, "aria-hidden": "true", class: "sample" });
  const context = sample.getContext("2d");
  context.scale(2, 2);
  drawMark(context, look, 10, 13, 5, { counted, text: look.letter });
  return sample;
}

function clickable(row, act) {
  row.tabIndex = 0;
  row.addEventListener("click", act);
  row.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    event.stopPropagation();
    act();
  });
}

class Panel {
  constructor(page) {
    this.page = page;
    this.rows = new Map(); // cluster -> its row
    const body = document.querySelector("#clusters tbody");
    for (const { view, cluster, told } of page.clusters) {
      const row = element("tr");
      row.append(element("th", view.label, { scope: "row" }), element("td", cluster.id, { class: "number" }));
      row.append(element("td", "", { class: "number" }), element("td", told.distribution || "–"));
      row.append(element("td", numberText(told.score), { class: "number" }));
      row.dataset.image = view.image_id;
      row.dataset.cluster = cluster.id;
      clickable(row, () => page.select(view, cluster));
      this.rows.set(cluster, row);
      body.append(row);
    }
    const failed = page.study.summary.images - page.study.summary.images_done;
    const none = page.study.summary.images_done ? "No clusters" : "No image was done";
    const but = failed ? ` in the images that were done; nothing is known of ${failed} of ${page.study.summary.images}` : "";
    document.getElementById("no-clusters").textContent = page.clusters.length ? "" : none + (page.study.summary.images_done ? but : "") + ".";
    document.getElementById("clusters").hidden = !page.clusters.length;
    this.followUps();
  }

  update() {
    for (const { view, cluster } of this.page.clusters) {
      const row = this.rows.get(cluster), shown = this.page.membersShown(view, cluster);
      row.cells[2].textContent = shown === cluster.members.length ? `${shown}` : `${shown} of ${cluster.members.length}`;
      row.classList.toggle("below", !shown);
      row.setAttribute("aria-selected", this.page.state.selected === cluster);
    }
  }

  details(view, thing) {
    const host = document.getElementById("details");
    host.replaceChildren();
    if (!thing) return;
    const isCluster = "members" in thing;
    host.append(element("h2", `${view.label}: ${isCluster ? "cluster" : "mark"} ${thing.id}`));
    const facts = isCluster
      ? [["distribution", thing.distribution], ["why", thing.distribution_reason], ["MCs", thing.members.length]]
      : [["kind", thing.kind], ["why", thing.kind_reason], ["counted", thing.counted ? "yes" : "no"], ["score", thing.score],
        ["area [mm²]", thing.area_mm2], ["diameter [mm]", thing.equivalent_diameter_mm], ["cluster", thing.cluster]];
    facts.push(["row, col [px]", `${numberText(thing.row)}, ${numberText(thing.col)}`]);
    host.append(tableOf("", facts));
    if (thing.features) {
      const more = host.appendChild(element("details"));
      more.open = true;
      more.append(element("summary", "features"));
      more.append(tableOf("", Object.entries(thing.features).map(([name, value]) => [words(name), value])));
    }
    if (isCluster) this.members(host, view, thing);
  }

  members(host, view, cluster) {
    const list = host.appendChild(element("details"));
    list.append(element("summary", `its ${cluster.members.length} MCs`));
    const rows = cluster.members.map((id) => view.markOf.get(id)).filter(Boolean);
    const table = tableOf("", rows.map((mark) => [`MC ${mark.id}`, mark.equivalent_diameter_mm, mark.score]), ["", "diameter [mm]", "score"]);
    [...table.tBodies[0].rows].forEach((row, place) => clickable(row, () => this.page.select(view, rows[place])));
    list.append(table);
  }

  followUps() {
    const host = document.getElementById("follow-up");
    for (const entry of this.page.study.follow_up) {
      host.append(element("h2", `Follow-up ${entry.image}: since ${entry.prior}`));
      if (entry.status !== "compared") {
        host.append(element("p", `${entry.status}: ${entry.reasons.join("; ")}`));
        continue;
      }
      const statuses = host.appendChild(element("p", "", { class: "row" }));
      for (const [name, count] of Object.entries(entry.summary)) {
        const told = statuses.appendChild(element("span", "", { class: "legend" }));
        told.append(sampleOf(STATUSES[name] || STATUSES.unchanged, true), `${count} ${name}`);
      }
      const { prior, current, change } = entry.breast;
      const told = (value) => (value && value.value !== null ? `${numberText(value.value)}${value.low === null ? "" : ` (${numberText(value.low)} to ${numberText(value.high)})`}` : "–");
      const lines = [["count", "count"], ["per cm²", "count_per_cm2"], ["mean area [mm²]", "mean_area_mm2"]];
      const figure = (part, key) => (part ? part[key] : null);
      host.append(tableOf("", lines.map(([name, key]) => [name, figure(prior, key), figure(current, key), told(figure(change, key))]), ["", "prior", "now", "change (95 %)"]));
      const button = host.appendChild(element("button", "side by side (c)", { type: "button" }));
      button.addEventListener("click", () => this.page.compare(entry.image_id));
    }
  }
}
