// The figures of the course that are touched. One module for two homes: anywidget calls `render` in
// JupyterLab, and a page without a kernel calls `mount`. It imports nothing and needs no build.
//
// A figure's state is described in the Python function that creates it. Bytes come as a DataView
// from a kernel, and as base64 in a page.

// Numbers -----------------------------------------------------------------------------------------

/** The bytes of a value of the state. */
export function bytes(value) {
  if (typeof value === "string") return Uint8Array.from(atob(value), (c) => c.charCodeAt(0));
  return new Uint8Array(value.buffer, value.byteOffset, value.byteLength).slice();
}

const floats = (value) => new Float32Array(bytes(value).buffer);
const shares = (value) => Float64Array.from(new Uint16Array(bytes(value).buffer), (v) => v / 65535);

/** R from one byte an entry, row after row. */
export function relation(R, low, step) {
  return Float32Array.from(bytes(R), (v) => low + step * v);
}

/** Equation 5, the bracket: G+ of one mask row; an empty mask gives zeros. */
export function generalizedInverse(g, eps = 1e-5) {
  let gram = 0;
  for (const v of g) gram += v * v;
  return Float64Array.from(g, (v) => (gram > 0 ? v / (gram + eps) : 0));
}

/** Equation 5: A = R G+, the sum of R's columns with the weights G+. */
export function attention(R, inverse) {
  const n = inverse.length;
  const A = new Float64Array(R.length / n);
  for (let i = 0, k = 0; i < A.length; i++) {
    let sum = 0;
    for (let j = 0; j < n; j++, k++) sum += R[k] * inverse[j];
    A[i] = sum;
  }
  return A;
}

/** Equation 6: the map stretched to the range from 0 to 1; a constant map becomes zeros. */
export function normalized(A, eps = 1e-5) {
  let low = Infinity;
  let high = -Infinity;
  for (const v of A) {
    if (v < low) low = v;
    if (v > high) high = v;
  }
  return A.map((v) => (v - low) / (high - low + eps));
}

/** A map on the grid, bilinearly on the image's pixels, corners aligned as the package does it. */
export function onImage(map, [h, w], [H, W]) {
  const out = new Float64Array(H * W);
  const line = new Float64Array(w);
  const [down, across] = [between(h, H), between(w, W)];
  for (let y = 0, k = 0; y < H; y++) {
    const [top, below, part] = [down.first[y] * w, down.second[y] * w, down.part[y]];
    for (let x = 0; x < w; x++) line[x] = map[top + x] + part * (map[below + x] - map[top + x]);
    for (let x = 0; x < W; x++, k++) {
      const left = line[across.first[x]];
      out[k] = left + across.part[x] * (line[across.second[x]] - left);
    }
  }
  return out;
}

/** The two cells that each pixel along a side lies between, and how far it is from the first. */
function between(cells, size) {
  const first = new Int32Array(size);
  const second = new Int32Array(size);
  const part = new Float64Array(size);
  for (let p = 0; p < size; p++) {
    const at = size > 1 ? (p * (cells - 1)) / (size - 1) : 0;
    first[p] = Math.min(Math.floor(at), cells - 1);
    second[p] = Math.min(first[p] + 1, cells - 1);
    part[p] = at - first[p];
  }
  return { first, second, part };
}

/** 1 where a value is above the threshold. */
export function above(values, threshold) {
  const mask = new Uint8Array(values.length);
  for (let k = 0; k < mask.length; k++) mask[k] = values[k] > threshold ? 1 : 0;
  return mask;
}

/** IoU of an answer; pixels of 255 in the truth do not count. Two empty masks agree: 1. */
export function iou(answer, truth) {
  let both = 0;
  let either = 0;
  for (let k = 0; k < answer.length; k++) {
    if (truth[k] === 255) continue;
    if (answer[k] && truth[k] === 1) both++;
    if (answer[k] || truth[k] === 1) either++;
  }
  return either ? both / either : 1;
}

/** The grid cell whose centre is nearest to each of the pixels along a side. */
export function cellOfPixel(size, cells) {
  const centred = cells > 1 && (size - 1) % (cells - 1) === 0;
  const stride = centred ? (size - 1) / (cells - 1) : 0;
  return Array.from({ length: size }, (_, p) =>
    stride ? Math.floor((p + stride / 2) / stride) : Math.floor((p * cells) / size),
  );
}

// Pixels ------------------------------------------------------------------------------------------

const ORANGE = [230, 159, 0];
const BLACK = [0, 0, 0];

/** The red, green, blue and alpha of every pixel of an encoded picture. */
async function pixelsOf(picture) {
  const options = { colorSpaceConversion: "none", premultiplyAlpha: "none" };
  const bitmap = await createImageBitmap(new Blob([bytes(picture)]), options);
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  pen.drawImage(bitmap, 0, 0);
  return pen.getImageData(0, 0, bitmap.width, bitmap.height).data;
}

/** A mask of 0, 1 and 255 from its picture. */
async function maskOf(picture) {
  return (await pixelsOf(picture)).filter((_, k) => k % 4 === 0);
}

const greyOf = (pixels) =>
  Float32Array.from({ length: pixels.length / 4 }, (_, k) => {
    return (pixels[4 * k] + pixels[4 * k + 1] + pixels[4 * k + 2]) / 3;
  });

/** Which pixels of a mask lie within `width` steps of its edge; the picture's frame is no edge. */
export function innerBorder(mask, [H, W], width = 2) {
  let inner = mask;
  for (let step = 0; step < width; step++) {
    const next = inner.slice();
    for (let y = 0, k = 0; y < H; y++) {
      for (let x = 0; x < W; x++, k++) {
        if (!inner[k]) continue;
        const inside =
          (y === 0 || inner[k - W]) && (y === H - 1 || inner[k + W]) &&
          (x === 0 || inner[k - 1]) && (x === W - 1 || inner[k + 1]);
        if (!inside) next[k] = 0;
      }
    }
    inner = next;
  }
  const border = new Uint8Array(mask.length);
  for (let k = 0; k < border.length; k++) border[k] = mask[k] && !inner[k] ? 1 : 0;
  return border;
}

/** The row of the colour table for a value from 0 to 1. */
const colourIndex = (value) => 3 * Math.max(0, Math.min(255, Math.floor(256 * value)));

/** A picture of the figure: a canvas with the pixels that are drawn into it. */
class Panel {
  constructor([H, W], [h, w] = [1, 1]) {
    this.size = [H, W];
    this.grid = [h, w];
    this.rows = cellOfPixel(H, h);
    this.columns = cellOfPixel(W, w);
    this.canvas = element("canvas", { width: W, height: H, role: "img" });
    this.frame = element("div", { class: "ltm-cell", hidden: "" });
    this.box = element("div", { class: "ltm-picture" }, this.canvas, this.frame);
    this.box.style.aspectRatio = `${W} / ${H}`;
    this.caption = element("figcaption");
    this.node = element("figure", { class: "ltm-panel" }, this.caption, this.box);
    // Whole pictures are written: memory of the processor saves the way through the graphics card.
    this.pen = this.canvas.getContext("2d", { willReadFrequently: true });
    this.image = this.pen.createImageData(W, H);
    this.image.data.fill(255);
    this.words = new Uint32Array(this.image.data.buffer); // a pixel in one step
    this.cells = new Int32Array(H * W);
    for (let k = 0; k < H * W; k++) {
      this.cells[k] = this.rows[Math.floor(k / W)] * w + this.columns[k % W];
    }
  }

  show() {
    this.pen.putImageData(this.image, 0, 0);
  }

  say(caption, label = caption) {
    if (this.caption.textContent !== caption) this.caption.textContent = caption;
    this.canvas.setAttribute("aria-label", label);
  }

  /** The cell (y, x) under a pointer; outside of the picture, the nearest one. */
  cellAt(event) {
    const box = this.canvas.getBoundingClientRect();
    const share = [
      (event.clientY - box.top) / box.height,
      (event.clientX - box.left) / box.width,
    ];
    const [y, x] = share.map((s, k) => {
      return Math.max(0, Math.min(this.size[k] - 1, Math.floor(s * this.size[k])));
    });
    return [this.rows[y], this.columns[x]];
  }

  /** Put the frame around the cells within `reach` of a cell; null removes it. */
  put(cell, reach = 0) {
    this.frame.hidden = !cell;
    if (!cell) return;
    const [top, bottom] = span(this.rows, cell[0], reach);
    const [left, right] = span(this.columns, cell[1], reach);
    Object.assign(this.frame.style, {
      top: percent(top), height: percent(bottom - top),
      left: percent(left), width: percent(right - left),
    });
  }

  copy(pixels) {
    this.image.data.set(pixels);
    this.show();
  }

  /** Values from 0 to 1 on the grid, in the colours of a table. */
  map(values, table) {
    const colours = new Uint32Array(values.length);
    for (let k = 0; k < colours.length; k++) {
      const from = colourIndex(values[k]);
      colours[k] = word(table[from], table[from + 1], table[from + 2]);
    }
    for (let k = 0; k < this.words.length; k++) this.words[k] = colours[this.cells[k]];
    this.show();
  }

  /** Relations from -1 to 1 in colours over a grey picture; `edge` is black. */
  overlay(grey, values, table, edge) {
    const { data } = this.image;
    for (let k = 0, at = 0; at < data.length; k++, at += 4) {
      const from = colourIndex((values[this.cells[k]] + 1) / 2);
      const share = edge?.[k] ? 0 : 1;
      data[at] = share * (0.8 * table[from] + 0.2 * grey[k]);
      data[at + 1] = share * (0.8 * table[from + 1] + 0.2 * grey[k]);
      data[at + 2] = share * (0.8 * table[from + 2] + 0.2 * grey[k]);
    }
    this.show();
  }

  /** Keep the picture to paint on: a little grey, with fine lines between the cells. */
  paintOn(pixels) {
    const grey = greyOf(pixels);
    const [H, W] = this.size;
    this.pale = new Float32Array(3 * H * W);
    this.line = new Uint8Array(H * W);
    for (let k = 0; k < H * W; k++) {
      const [y, x] = [Math.floor(k / W), k % W];
      this.line[k] =
        (y > 0 && this.rows[y] !== this.rows[y - 1]) ||
        (x > 0 && this.columns[x] !== this.columns[x - 1]);
      for (let c = 0; c < 3; c++) this.pale[3 * k + c] = 0.6 * pixels[4 * k + c] + 0.4 * grey[k];
    }
  }

  /** A mask on the grid in orange over the picture of `paintOn`. */
  painted(g) {
    const { data } = this.image;
    const { pale, line, cells } = this;
    for (let k = 0, at = 0; at < data.length; k++, at += 4) {
      const paint = 0.75 * g[cells[k]];
      const scale = line[k] ? 0.7 : 1;
      const more = line[k] ? 0.3 * 255 : 0;
      data[at] = scale * ((1 - paint) * pale[3 * k] + paint * ORANGE[0]) + more;
      data[at + 1] = scale * ((1 - paint) * pale[3 * k + 1] + paint * ORANGE[1]) + more;
      data[at + 2] = scale * ((1 - paint) * pale[3 * k + 2] + paint * ORANGE[2]) + more;
    }
    this.show();
  }

  /** Keep the picture to answer on: each pixel in light grey, and in orange. */
  answerOn(pixels, edge) {
    const grey = greyOf(pixels);
    this.edge = edge;
    this.faded = new Uint32Array(grey.length);
    this.tinted = new Uint32Array(grey.length);
    for (let k = 0; k < grey.length; k++) {
      const pale = 0.45 * grey[k] + 0.55 * 255;
      this.faded[k] = word(pale, pale, pale);
      this.tinted[k] = word(...ORANGE.map((v, c) => (pixels[4 * k + c] + v) / 2));
    }
  }

  /** An answer in orange over the picture of `answerOn`; its edge is black. */
  answer(mask) {
    const border = innerBorder(mask, this.size, Math.max(1, Math.round(Math.min(...this.size) / 150)));
    const [orange, black] = [word(...ORANGE), word(...BLACK)];
    const { words, faded, tinted, edge } = this;
    for (let k = 0; k < words.length; k++) {
      words[k] = border[k] ? orange : mask[k] ? tinted[k] : faded[k];
      if (edge && edge[k]) words[k] = black;
    }
    this.show();
  }
}

/** A pixel as one number: red in the lowest byte, and opaque. */
const word = (red, green, blue) => (0xff000000 | (blue << 16) | (green << 8) | red) >>> 0;

function span(cells, cell, reach) {
  const n = cells.length;
  const first = cells.findIndex((c) => c >= cell - reach);
  const after = cells.findIndex((c) => c > cell + reach);
  return [first / n, (after < 0 ? n : after) / n];
}

const percent = (share) => `${100 * share}%`;

// Controls ----------------------------------------------------------------------------------------

const SVG = "http://www.w3.org/2000/svg";
let names = 0;

function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

function drawn(tag, attributes = {}, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

/** Buttons of which one is pressed: one stop of the tab key, arrows move inside. */
function choice(title, options, chosen, onChange) {
  const name = `ltm-${++names}`;
  const box = element("fieldset", { class: "ltm-choice" }, element("legend", {}, title));
  for (const [text, value] of options) {
    const input = element("input", { type: "radio", name });
    input.checked = value === chosen;
    input.addEventListener("change", () => onChange(value));
    box.append(element("label", {}, input, element("span", {}, text)));
  }
  return box;
}

/** Buttons in a row that are one stop of the tab key: the arrows move between them. */
function toolbar(title, actions) {
  const buttons = actions.map(([text, action]) => button(text, action));
  buttons.forEach((b, k) => (b.tabIndex = k ? -1 : 0));
  const bar = element("div", { role: "toolbar", "aria-label": title, class: "ltm-toolbar" });
  bar.append(element("span", { "aria-hidden": "true" }, title), ...buttons);
  const focus = (k) => {
    buttons.forEach((b, i) => (b.tabIndex = i === k ? 0 : -1));
    buttons[k].focus();
  };
  bar.addEventListener("keydown", (event) => {
    const at = buttons.indexOf(event.target);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: buttons.length - 1 };
    if (at < 0 || !(event.key in to)) return;
    event.preventDefault();
    focus(Math.max(0, Math.min(buttons.length - 1, to[event.key])));
  });
  return bar;
}

function button(text, action) {
  const node = element("button", { type: "button" }, text);
  node.addEventListener("click", () => {
    if (node.getAttribute("aria-disabled") !== "true") action();
  });
  return node;
}

/** The colours of a table, with the numbers that they stand for. */
function legend(table, words, title) {
  const canvas = element("canvas", { width: 256, height: 1, "aria-hidden": "true" });
  const pen = canvas.getContext("2d");
  const image = pen.createImageData(256, 1);
  for (let k = 0; k < 256; k++) image.data.set([...table.slice(3 * k, 3 * k + 3), 255], 4 * k);
  pen.putImageData(image, 0, 0);
  const scale = element("span", { class: "ltm-scale" }, ...words.map((w) => element("span", {}, w)));
  return element(
    "div", { class: "ltm-legend" }, element("span", {}, title), element("div", {}, canvas, scale),
  );
}

const ARROWS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

/** The cell that an arrow key leads to, or null for another key; it stops at the border. */
function moved(key, [y, x], [h, w]) {
  if (!ARROWS[key]) return null;
  const [down, right] = ARROWS[key];
  return [Math.max(0, Math.min(h - 1, y + down)), Math.max(0, Math.min(w - 1, x + right))];
}

// What the figures share --------------------------------------------------------------------------

/**
 * One figure: a frame is drawn when the browser is ready for one, however many events came before.
 * When the hand has rested, the readout is said by screen readers.
 */
class Figure {
  constructor(model, host) {
    this.model = model;
    this.root = element("div", { class: "ltm-touched", "data-lm-suppress-shortcuts": "true" });
    this.readout = element("p", { class: "ltm-readout" });
    this.live = element("p", { class: "ltm-hidden", role: "status", "aria-live": "polite" });
    this.cleanups = [];
    host.append(this.root);
  }

  get(name) {
    return this.model.get(name);
  }

  schedule() {
    this.request ??= requestAnimationFrame(() => {
      this.request = undefined;
      this.frame();
      clearTimeout(this.rest);
      this.rest = setTimeout(() => (this.live.textContent = this.readout.textContent), 500);
    });
  }

  destroy() {
    cancelAnimationFrame(this.request);
    clearTimeout(this.rest);
    for (const cleanup of this.cleanups) cleanup();
    this.root.remove();
  }
}

// 03: rows and columns of R -----------------------------------------------------------------------

class Relation extends Figure {
  async start() {
    this.R = relation(this.get("R"), this.get("low"), this.get("step"));
    this.table = bytes(this.get("colours"));
    const mask = this.get("mask");
    this.sides = {};
    for (const side of ["query", "support"]) {
      const size = this.get(`${side}_size`);
      const grid = this.get(`${side}_grid`);
      const pixels = await pixelsOf(this.get(side));
      const panel = new Panel(size, grid);
      const middle = grid.map((n) => Math.floor(n / 2));
      this.sides[side] = { panel, pixels, plain: pixels, grey: greyOf(pixels), pinned: middle };
    }
    this.sides.query.pinned = [...this.get("start")];
    this.pinnedOn = "query";
    if (mask) this.outline(await maskOf(mask));
    this.root.append(
      element("div", { class: "ltm-pair" }, this.sides.query.panel.node, this.sides.support.panel.node),
      legend(this.table, ["−1 opposed", "0", "1 alike"], "R"),
      this.readout,
      this.live,
    );
    for (const side of ["query", "support"]) this.listen(side);
    this.frame();
  }

  /** The support's object in black, on its picture as on its row of R. */
  outline(mask) {
    const { support } = this.sides;
    const object = mask.map((v) => (v === 1 ? 1 : 0));
    support.edge = innerBorder(object, support.panel.size);
    support.pixels = support.plain.slice();
    support.edge.forEach((on, k) => on && support.pixels.set(BLACK, 4 * k));
    support.object = object;
    const { rows, columns, grid } = support.panel;
    let [n, sumY, sumX] = [0, 0, 0];
    object.forEach((on, k) => {
      if (!on) return;
      n += 1;
      sumY += rows[Math.floor(k / columns.length)];
      sumX += columns[k % columns.length];
    });
    if (n) support.pinned = [sumY / n, sumX / n].map((v, k) => Math.min(grid[k] - 1, Math.round(v)));
  }

  listen(side) {
    const { panel } = this.sides[side];
    const { canvas } = panel;
    canvas.tabIndex = 0;
    canvas.setAttribute("role", "application");
    canvas.setAttribute("aria-roledescription", "picture with a movable pixel");
    const pin = (cell) => {
      this.sides[side].pinned = cell;
      this.pinnedOn = side;
      this.hover = null;
      this.schedule();
    };
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      event.preventDefault();
      canvas.focus({ preventScroll: true });
      canvas.setPointerCapture(event.pointerId);
      pin(panel.cellAt(event));
    });
    canvas.addEventListener("pointermove", (event) => {
      if (event.buttons) {
        if (canvas.hasPointerCapture(event.pointerId)) pin(panel.cellAt(event));
      } else if (event.pointerType === "mouse") {
        this.hover = { side, cell: panel.cellAt(event) };
        this.schedule();
      }
    });
    canvas.addEventListener("pointerleave", () => {
      this.hover = null;
      this.schedule();
    });
    canvas.addEventListener("keydown", (event) => {
      const cell = moved(event.key, this.sides[side].pinned, panel.grid);
      if (!cell) return;
      event.preventDefault();
      pin(this.pinnedOn === side ? cell : this.sides[side].pinned);
    });
  }

  frame() {
    const side = this.hover?.side ?? this.pinnedOn;
    const other = side === "query" ? "support" : "query";
    const one = this.sides[side];
    const two = this.sides[other];
    const [y, x] = this.hover?.cell ?? one.pinned;
    const i = y * one.panel.grid[1] + x;
    const n = this.sides.support.panel.grid[0] * this.sides.support.panel.grid[1];
    const values =
      side === "query"
        ? this.R.subarray(i * n, (i + 1) * n)
        : Float32Array.from({ length: this.R.length / n }, (_, k) => this.R[k * n + i]);
    one.panel.copy(one.pixels);
    one.panel.put([y, x]);
    two.panel.overlay(two.grey, values, this.table, two.edge);
    two.panel.put(null);
    const line = side === "query" ? "row" : "column";
    let largest = 0;
    for (let k = 1; k < values.length; k++) if (values[k] > values[largest]) largest = k;
    const width = two.panel.grid[1];
    const at = `(${Math.floor(largest / width)}, ${largest % width})`;
    this.readout.textContent =
      `${side} pixel (${y}, ${x}) is ${line} ${i} of R; ` +
      `its largest entry is ${values[largest].toFixed(2)}, at ${other} pixel ${at}`;
    one.panel.say(
      `${side}, with a pixel framed`,
      `The ${side}. A frame marks its pixel (${y}, ${x}). The arrow keys move the frame.`,
    );
    two.panel.say(
      `its ${line} of R, over the ${other}`,
      `The ${other}, coloured by ${line} ${i} of R; the largest entry, ` +
        `${values[largest].toFixed(2)}, is at pixel ${at}. An arrow key frames a pixel here instead.`,
    );
  }
}

// 04: a mask to paint -----------------------------------------------------------------------------

const PAUSE = 120; // ms without a change before the kernel is asked
const PATIENCE = 4000; // ms before the figure says that the kernel is silent

class Inverse extends Figure {
  async start() {
    this.R = relation(this.get("R"), this.get("low"), this.get("step"));
    this.table = bytes(this.get("colours"));
    this.threshold = this.get("threshold");
    this.grid = this.get("grid");
    const starts = this.get("masks").map((m, k) => [this.get("titles")[k], floats(m)]);
    const n = this.grid[0] * this.grid[1];
    starts.push(["everything", new Float32Array(n).fill(1)], ["nothing", new Float32Array(n)]);
    this.g = starts[0][1].slice();
    this.network = ""; // what the readout says of the kernel's answer
    this.past = [];
    this.future = [];
    this.value = 1;
    this.reach = 1;
    this.cursor = this.grid.map((size) => Math.floor(size / 2));
    const [support, query] = [await pixelsOf(this.get("support")), await pixelsOf(this.get("query"))];
    this.truth = await maskOf(this.get("truth"));
    this.size = this.get("query_size");
    this.panels = {
      paint: new Panel(this.get("support_size"), this.grid),
      inverse: new Panel(this.get("support_size"), this.grid),
      map: new Panel(this.size, this.grid),
      answer: new Panel(this.size),
    };
    if (this.get("answers")) this.panels.decoder = new Panel(this.size);
    this.panels.paint.paintOn(support);
    this.panels.answer.answerOn(query);
    this.panels.decoder?.answerOn(query);
    this.undoButton = button("undo", () => this.step(this.past, this.future));
    this.redoButton = button("redo", () => this.step(this.future, this.past));
    const tools = element(
      "div", { class: "ltm-controls" },
      choice("stroke", [["paint", 1], ["paint half", 0.5], ["erase", 0]], 1, (v) => (this.value = v)),
      choice("brush", [["1 cell", 0], ["3 × 3", 1]], 1, (v) => (this.reach = v)),
      element("div", { class: "ltm-toolbar" }, this.undoButton, this.redoButton),
      toolbar("start from", starts.map(([title, g]) => [title, () => this.replace(g)])),
    );
    const pictures = element("div", { class: "ltm-row" });
    pictures.append(...Object.values(this.panels).map((p) => p.node));
    pictures.style.setProperty("--ltm-count", Object.keys(this.panels).length - 1);
    const scale = legend(this.table, ["0", "1"], "Â; G⁺ by its largest entry");
    pictures.append(element("div", { class: "ltm-below" }, scale, this.readout));
    this.root.append(tools, pictures, this.live);
    this.listen();
    this.frame();
    if (this.panels.decoder) this.connect();
  }

  // Strokes

  listen() {
    const { canvas } = this.panels.paint;
    canvas.tabIndex = 0;
    canvas.setAttribute("role", "application");
    canvas.setAttribute("aria-roledescription", "picture to paint on");
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      event.preventDefault();
      canvas.focus({ preventScroll: true });
      canvas.setPointerCapture(event.pointerId);
      this.keep();
      this.last = this.panels.paint.cellAt(event);
      this.dab(this.last);
    });
    canvas.addEventListener("pointermove", (event) => {
      const cell = this.panels.paint.cellAt(event);
      this.cursor = cell;
      if (this.last) {
        for (const e of event.getCoalescedEvents?.() ?? []) this.drag(this.panels.paint.cellAt(e));
        this.drag(cell);
      }
      this.panels.paint.put(cell, this.reach);
    });
    for (const kind of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(kind, () => this.lift());
    }
    canvas.addEventListener("pointerleave", () => {
      this.panels.paint.put(this.typing ? this.cursor : null, this.reach);
    });
    canvas.addEventListener("focus", () => {
      this.typing = canvas.matches(":focus-visible");
      if (this.typing) this.panels.paint.put(this.cursor, this.reach);
    });
    canvas.addEventListener("blur", () => {
      this.typing = false;
      this.panels.paint.put(null);
    });
    canvas.addEventListener("keydown", (event) => this.type(event));
    this.root.addEventListener("keydown", (event) => {
      if (!(event.ctrlKey || event.metaKey) || event.altKey) return;
      const key = event.key.toLowerCase();
      if (key === "z" && !event.shiftKey) this.step(this.past, this.future);
      else if (key === "y" || key === "z") this.step(this.future, this.past);
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
  }

  type(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const cell = moved(event.key, this.cursor, this.grid);
    if (cell) this.cursor = cell;
    const paints = event.key === " " || event.key === "Enter" || (cell && event.shiftKey);
    if (!cell && !paints) return;
    event.preventDefault();
    this.typing = true;
    this.panels.paint.put(this.cursor, this.reach);
    if (paints) {
      this.keep();
      this.dab(this.cursor);
      this.lift();
    }
    const [y, x] = this.cursor;
    const share = this.g[y * this.grid[1] + x].toFixed(2);
    this.live.textContent = `cell (${y}, ${x}), mask ${share}`;
  }

  /** Begin a step: what `undo` goes back to. */
  keep() {
    this.before = this.g.slice();
  }

  /** End a step; one that changed nothing is none. */
  lift() {
    this.last = null;
    if (this.before?.some((v, k) => v !== this.g[k])) {
      this.past.push(this.before);
      this.future = [];
      this.schedule();
    }
    this.before = null;
  }

  dab([y, x]) {
    const [h, w] = this.grid;
    for (let i = Math.max(0, y - this.reach); i <= Math.min(h - 1, y + this.reach); i++) {
      for (let j = Math.max(0, x - this.reach); j <= Math.min(w - 1, x + this.reach); j++) {
        this.g[i * w + j] = this.value;
      }
    }
    this.schedule();
  }

  /** Paint all cells between the last one and this one: a fast hand leaves no gaps. */
  drag([y, x]) {
    const [y0, x0] = this.last;
    const steps = Math.max(Math.abs(y - y0), Math.abs(x - x0));
    for (let k = 1; k <= steps; k++) {
      this.dab([Math.round(y0 + ((y - y0) * k) / steps), Math.round(x0 + ((x - x0) * k) / steps)]);
    }
    this.last = [y, x];
  }

  replace(g) {
    this.keep();
    this.g = g.slice();
    this.lift();
    this.schedule();
  }

  step(from, to) {
    if (!from.length) return;
    this.lift();
    to.push(this.g);
    this.g = from.pop();
    this.schedule();
  }

  // Answers

  frame() {
    const { paint, inverse, map, answer } = this.panels;
    const column = generalizedInverse(this.g);
    this.A_hat = normalized(attention(this.R, column));
    const mask = above(onImage(this.A_hat, this.grid, this.size), this.threshold);
    const score = iou(mask, this.truth);
    const largest = column.reduce((a, b) => Math.max(a, b), 0);
    const relative = column.map((v) => v / Math.max(largest, 1e-5));
    paint.painted(this.g);
    inverse.map(relative, this.table);
    map.map(this.A_hat, this.table);
    answer.answer(mask);
    let [n, gram] = [0, 0];
    for (const v of this.g) {
      n += v > 0 ? 1 : 0;
      gram += v * v;
    }
    const cells = `${n} ${n === 1 ? "cell" : "cells"} painted`;
    const limit = this.threshold.toFixed(2);
    const summary = n
      ? `${cells}, G Gᵀ = ${gram.toFixed(2)}; the largest entry of G⁺ is ${largest.toFixed(3)}; ` +
        `Â above ${limit}: IoU ${score.toFixed(2)}`
      : `${cells}, G Gᵀ = 0: the package sets G⁺ to 0; IoU ${score.toFixed(2)}`;
    this.ask();
    this.readout.textContent = summary + this.network;
    paint.say("support: drag to paint", `The support, ${cells}. Arrow keys move a cursor, space paints.`);
    inverse.say("inverse G⁺", `The inverse on the support's grid; its largest entry is ${largest.toFixed(3)}.`);
    map.say("Â over the query", "Attention map over the query, in the colours of the scale.");
    answer.say(`answer: Â above ${limit}`, `The query; the answer, tinted, has IoU ${score.toFixed(2)}.`);
    this.undoButton.setAttribute("aria-disabled", String(!this.past.length));
    this.redoButton.setAttribute("aria-disabled", String(!this.future.length));
  }

  // The decoder's answer comes from the kernel. At most one question is on its way; a reply to
  // another question than the last one is dropped.

  connect() {
    this.isOnItsWay = false;
    const reply = ({ id }, buffers) => {
      if (id !== this.sent?.id || !buffers?.length) return;
      clearTimeout(this.silence);
      this.isOnItsWay = false;
      if (this.sent.g.some((v, k) => v !== this.g[k])) return this.ask();
      const mask = bytes(buffers[0]);
      const score = iou(mask, this.truth).toFixed(2);
      this.panels.decoder.answer(mask);
      this.panels.decoder.say(
        "trained network", `The query; the answer of the trained network has IoU ${score}.`,
      );
      this.panels.decoder.node.classList.remove("ltm-old");
      this.network = `; trained network: IoU ${score}`;
      this.schedule();
    };
    this.model.on("msg:custom", reply);
    this.cleanups.push(() => {
      this.model.off("msg:custom", reply);
      clearTimeout(this.silence);
      clearTimeout(this.pause);
    });
    this.panels.decoder.answer(new Uint8Array(this.truth.length));
    this.ask();
  }

  ask() {
    const { decoder } = this.panels;
    if (!decoder || this.isOnItsWay === undefined) return;
    if (this.sent && this.sent.g.every((v, k) => v === this.g[k])) return;
    this.network = "";
    decoder.node.classList.add("ltm-old");
    decoder.say("trained network: …", "The trained network has not answered yet.");
    clearTimeout(this.pause);
    this.pause = setTimeout(() => {
      if (this.isOnItsWay) return;
      this.isOnItsWay = true;
      this.sent = { id: (this.sent?.id ?? 0) + 1, g: this.g.slice() };
      this.model.send({ id: this.sent.id }, undefined, [this.sent.g.slice().buffer]);
      clearTimeout(this.silence);
      this.silence = setTimeout(() => {
        this.isOnItsWay = false;
        decoder.say("network: kernel busy", "The kernel does not answer: it is busy or ended.");
        if (this.sent.g.some((v, k) => v !== this.g[k])) this.ask();
      }, PATIENCE);
    }, PAUSE);
  }
}

// 05: a threshold on the histogram ----------------------------------------------------------------

const BINS = 50;

class Threshold extends Figure {
  async start() {
    this.A_hat = shares(this.get("A_hat"));
    this.truth = await maskOf(this.get("truth"));
    this.thresholds = this.get("thresholds");
    this.scores = this.get("scores");
    this.t = this.get("start");
    const size = this.get("size");
    this.best = this.scores.indexOf(Math.max(...this.scores));
    this.panel = new Panel(size);
    const object = this.truth.map((v) => (v === 1 ? 1 : 0));
    this.panel.answerOn(await pixelsOf(this.get("query")), innerBorder(object, size));
    this.bins = { object: new Array(BINS).fill(0), rest: new Array(BINS).fill(0) };
    this.A_hat.forEach((v, k) => {
      if (this.truth[k] === 255) return;
      const bins = this.truth[k] === 1 ? this.bins.object : this.bins.rest;
      bins[Math.min(BINS - 1, Math.floor(v * BINS))]++;
    });
    this.chart = drawn("svg", {
      class: "ltm-chart", role: "slider", tabindex: "0", "aria-label": "threshold on Â",
      "aria-valuemin": "0", "aria-valuemax": "1", "aria-orientation": "horizontal",
    });
    const keys = element("ul", { class: "ltm-keys" });
    for (const [name, text] of [
      ["object", "pixels of the object"], ["rest", "other pixels"], ["curve", "IoU at each threshold"],
    ]) {
      keys.append(element("li", { class: `ltm-key-${name}` }, text));
    }
    this.box = element("div", { class: "ltm-chartbox" }, this.chart);
    const figure = element(
      "figure", { class: "ltm-panel" },
      element("figcaption", {}, "how many pixels have each value of Â: drag the line"),
      this.box, keys,
    );
    this.root.append(
      element("div", { class: "ltm-threshold" }, this.panel.node, figure), this.readout, this.live,
    );
    const watch = new ResizeObserver(() => this.layout());
    watch.observe(this.box);
    this.cleanups.push(() => watch.disconnect());
    this.listen();
    this.layout();
  }

  listen() {
    const { chart } = this;
    const toward = (event) => {
      const box = chart.getBoundingClientRect();
      const { left, right } = this.plot;
      this.move((event.clientX - box.left - left) / (right - left));
    };
    chart.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      event.preventDefault();
      chart.focus({ preventScroll: true });
      chart.setPointerCapture(event.pointerId);
      toward(event);
    });
    chart.addEventListener("pointermove", (event) => {
      if (chart.hasPointerCapture(event.pointerId)) toward(event);
    });
    chart.addEventListener("keydown", (event) => {
      const to = {
        ArrowRight: this.t + 0.01, ArrowUp: this.t + 0.01, ArrowLeft: this.t - 0.01,
        ArrowDown: this.t - 0.01, PageUp: this.t + 0.1, PageDown: this.t - 0.1, Home: 0, End: 1,
      };
      if (!(event.key in to)) return;
      event.preventDefault();
      this.move(to[event.key]);
    });
  }

  move(t) {
    this.t = Math.round(100 * Math.max(0, Math.min(1, t))) / 100;
    this.schedule();
  }

  /** Draw what the threshold does not change, at the width that there is. */
  layout() {
    const width = Math.max(240, Math.floor(this.box.clientWidth));
    const height = Math.max(200, Math.min(300, Math.round(0.62 * width)));
    const plot = (this.plot = { left: 34, right: width - 14, top: 12, bottom: height - 40 });
    const X = (v) => plot.left + v * (plot.right - plot.left);
    const Y = (v) => plot.bottom - v * (plot.bottom - plot.top);
    this.place = { X, Y };
    const { object, rest } = this.bins;
    const most = Math.max(...object.map((n, k) => n + rest[k]));
    const bars = (from, counts) =>
      counts.map((n, k) => {
        const [low, high] = [Y(from[k] / most), Y((from[k] + n) / most)];
        return `M${X(k / BINS)},${low}V${high}H${X((k + 1) / BINS) - 1}V${low}Z`;
      }).join("");
    const zeros = object.map(() => 0);
    const line = this.thresholds.map((t, k) => `${k ? "L" : "M"}${X(t)},${Y(this.scores[k])}`).join("");
    this.line = drawn("path", { class: "ltm-line" });
    this.grip = drawn("circle", { class: "ltm-grip", r: 8 });
    this.zone = drawn("rect", { class: "ltm-zone", y: plot.top, height: plot.bottom - plot.top });
    const marks = [0, 0.5, 1].flatMap((v) => [
      text(v, X(v), plot.bottom + 17, "middle"), text(v, plot.left - 6, Y(v) + 4, "end"),
    ]);
    this.chart.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.chart.setAttribute("height", height);
    this.chart.replaceChildren(
      this.zone,
      drawn("path", { class: "ltm-object", d: bars(zeros, object) }),
      drawn("path", { class: "ltm-rest", d: bars(object, rest) }),
      drawn("path", { class: "ltm-axis", d: `M${plot.left},${plot.top}V${plot.bottom}H${plot.right}` }),
      drawn("path", { class: "ltm-halo", d: line }),
      drawn("path", { class: "ltm-curve", d: line }),
      ...marks,
      text("threshold on Â", X(0.5), height - 6, "middle"),
      text("IoU", plot.left + 6, plot.top + 10, "start"),
      this.line, this.grip,
    );
    this.frame();
  }

  frame() {
    const mask = above(this.A_hat, this.t);
    const score = iou(mask, this.truth);
    this.panel.answer(mask);
    const { X, Y } = this.place;
    this.line.setAttribute("d", `M${X(this.t)},${this.plot.top}V${this.plot.bottom}`);
    this.grip.setAttribute("cx", X(this.t));
    this.grip.setAttribute("cy", Y(score));
    this.zone.setAttribute("x", X(this.t));
    this.zone.setAttribute("width", Math.max(0, this.plot.right - X(this.t)));
    const now = `above ${this.t.toFixed(2)}: IoU ${score.toFixed(2)}`;
    const best = `${this.scores[this.best].toFixed(2)} at ${this.thresholds[this.best].toFixed(2)}`;
    this.readout.textContent = `${now}; the best of the curve is ${best}`;
    this.chart.setAttribute("aria-valuenow", this.t.toFixed(2));
    this.chart.setAttribute("aria-valuetext", now);
    this.panel.say(
      "mask; black: the truth",
      `The query; what lies above ${this.t.toFixed(2)} is tinted, IoU ${score.toFixed(2)}; the object is outlined.`,
    );
  }
}

const text = (words, x, y, anchor) => drawn("text", { x, y, "text-anchor": anchor }, String(words));

// 01: folds ---------------------------------------------------------------------------------------

const COLUMNS = 5;

class Folds extends Figure {
  async start() {
    this.classes = this.get("classes");
    this.novel = this.get("novel");
    this.pictures = this.get("pictures");
    this.fold = 0;
    this.chosen = 0;
    this.tiles = this.get("crops").map((crop, k) => {
      const tile = element("button", { type: "button", role: "radio" }, picture(crop, ""));
      const number = element("span", { class: "ltm-number" }, `${k + 1} `);
      tile.append(element("span", { class: "ltm-name" }, number, this.classes[k]));
      tile.addEventListener("click", () => this.choose(k));
      return tile;
    });
    this.board = element("div", { class: "ltm-board", role: "radiogroup", "aria-label": "class" });
    this.board.append(...this.tiles);
    this.board.addEventListener("keydown", (event) => {
      const at = [Math.floor(this.chosen / COLUMNS), this.chosen % COLUMNS];
      const grid = [Math.ceil(this.tiles.length / COLUMNS), COLUMNS];
      const cell = moved(event.key, at, grid);
      if (!cell) return;
      event.preventDefault();
      this.choose(Math.min(this.tiles.length - 1, cell[0] * COLUMNS + cell[1]));
      this.tiles[this.chosen].focus();
    });
    const folds = this.novel.map((_, fold) => [String(fold), fold]);
    this.strip = element("div", { class: "ltm-strip" });
    const side = element("div", { class: "ltm-side" }, this.readout, this.strip);
    this.root.append(
      element(
        "div", { class: "ltm-controls" },
        choice("fold", folds, 0, (fold) => { this.fold = fold; this.schedule(); }),
        element("span", { class: "ltm-key-novel" }, "framed: novel in this fold"),
      ),
      element("div", { class: "ltm-folds" }, this.board, side),
      this.live,
    );
    this.frame();
  }

  choose(k) {
    this.chosen = k;
    this.schedule();
  }

  frame() {
    const novel = this.novel[this.fold];
    const name = this.classes[this.chosen];
    this.tiles.forEach((tile, k) => {
      const isNovel = novel.includes(k + 1);
      tile.classList.toggle("ltm-novel", isNovel);
      tile.setAttribute("aria-label", `${k + 1} ${this.classes[k]}, ${isNovel ? "novel" : "base"}`);
      tile.setAttribute("aria-checked", String(k === this.chosen));
      tile.tabIndex = k === this.chosen ? 0 : -1;
    });
    const role = novel.includes(this.chosen + 1)
      ? "novel: only in test questions" : "base: for training";
    this.readout.textContent = `fold ${this.fold}: ${name} is ${role}`;
    if (this.shown === this.chosen) return;
    this.shown = this.chosen;
    const pictures = this.pictures[this.chosen];
    this.strip.replaceChildren(
      ...(pictures.length
        ? pictures.map((p, k) => picture(p, `${name}, tinted in picture ${k + 1} of ${pictures.length}`))
        : [element("p", {}, `no picture of this list shows a ${name}`)]),
    );
  }
}

function picture(value, alt) {
  const image = element("img", { alt });
  const url = URL.createObjectURL(new Blob([bytes(value)], { type: "image/webp" }));
  image.addEventListener("load", () => URL.revokeObjectURL(url));
  image.src = url;
  return image;
}

// The two homes -----------------------------------------------------------------------------------

const KINDS = { relation: Relation, inverse: Inverse, threshold: Threshold, folds: Folds };

async function draw(model, el) {
  const figure = new KINDS[model.get("kind")](model, el);
  try {
    await figure.start();
  } catch (error) {
    figure.root.replaceChildren(element("p", {}, `This figure cannot be drawn: ${error.message}`));
    throw error;
  }
  return figure;
}

/** Draw a figure in a notebook; see anywidget. */
async function render({ model, el }) {
  const figure = await draw(model, el);
  return () => figure.destroy();
}

/** Draw a figure in a page that has no kernel. */
export function mount(el, state) {
  const model = {
    get: (name) => state[name],
    set: (name, value) => (state[name] = value),
    on: () => {},
    off: () => {},
    save_changes: () => {},
    send: () => {},
  };
  return draw(model, el);
}

export default { render };
