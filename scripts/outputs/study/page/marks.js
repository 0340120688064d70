// Shapes of marks. Kinds differ in shape and letter, not in colour only; what is not counted is dashed.
const KINDS = {
  "individual MC": { colour: "#ffb000", shape: "circle", letter: "" },
  "coarse": { colour: "#ff6d3a", shape: "hexagon", letter: "C" },
  "rim": { colour: "#ffe45e", shape: "ring", letter: "R" },
  "vascular": { colour: "#9db4ff", shape: "diamond", letter: "V" },
  "metal": { colour: "#ff8ae2", shape: "square", letter: "M" },
  "skin-line": { colour: "#c8c8c8", shape: "triangle", letter: "S" },
};
const STATUSES = {
  "unchanged": { colour: "#56b4e9", shape: "circle" },
  "grown": { colour: "#ffb000", shape: "triangle" },
  "shrunk": { colour: "#009e73", shape: "triangle down" },
  "new": { colour: "#ff5a36", shape: "square" },
  "gone": { colour: "#ffffff", shape: "cross" },
  "out of view": { colour: "#9a9a9a", shape: "diamond" },
};
const CORNERS = { "triangle": [3, -90], "triangle down": [3, 90], "diamond": [4, 0], "square": [4, 45], "hexagon": [6, 0] };

function tracePath(context, shape, x, y, radius) {
  context.beginPath();
  if (shape === "cross") {
    for (const sign of [1, -1]) {
      context.moveTo(x - radius, y - sign * radius);
      context.lineTo(x + radius, y + sign * radius);
    }
    return;
  }
  if (!(shape in CORNERS)) {
    context.arc(x, y, radius, 0, 2 * Math.PI);
    if (shape === "ring") {
      context.moveTo(x + radius + 3, y);
      context.arc(x, y, radius + 3, 0, 2 * Math.PI);
    }
    return;
  }
  const [count, turn] = CORNERS[shape];
  for (let corner = 0; corner < count; corner += 1) {
    const angle = ((turn + (360 * corner) / count) * Math.PI) / 180;
    context.lineTo(x + 1.2 * radius * Math.cos(angle), y + 1.2 * radius * Math.sin(angle));
  }
  context.closePath();
}

// A line that shows on black and on white.
function strokeTwice(context, colour, width, dash) {
  context.setLineDash(dash || []);
  context.strokeStyle = "#000c";
  context.lineWidth = width + 2;
  context.stroke();
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.stroke();
  context.setLineDash([]);
}

function drawText(context, text, x, y, colour) {
  context.font = "600 12px system-ui, sans-serif";
  context.lineWidth = 3;
  context.strokeStyle = "#000";
  context.strokeText(text, x, y);
  context.fillStyle = colour;
  context.fillText(text, x, y);
}

function drawMark(context, look, x, y, radius, options) {
  tracePath(context, look.shape, x, y, radius);
  strokeTwice(context, look.colour, options.selected ? 3 : 1.4, options.counted ? [] : [3, 3]);
  if (options.text) drawText(context, options.text, x + radius + 3, y - radius + 3, look.colour);
}
