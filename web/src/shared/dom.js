/** Make elements. Text is always a text node, so nothing that a run contains is ever read as HTML. */

/**
 * @typedef {Node | string | number | null | undefined | false} Child
 * @typedef {Record<string, unknown>} Properties
 */

/**
 * Set an element's properties: `class`, `data-*`, `aria-*` and `role` are attributes, `onclick` and its like are
 * listeners, `style` is a record, and everything else is a property of the element.
 *
 * @param {Element} element
 * @param {Properties} properties
 */
function setProperties(element, properties) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue;
    if (name === "style") {
      const styled = /** @type {HTMLElement} */ (element);
      const rules = /** @type {Record<string, string>} */ (value);
      for (const [key, rule] of Object.entries(rules)) styled.style.setProperty(key, rule);
    } else if (name.startsWith("on") && typeof value === "function") {
      element.addEventListener(name.slice(2), /** @type {EventListener} */ (value));
    } else if (name in element && !/^(aria-|data-|role$|list$|form$)/.test(name) && name !== "class") {
      Reflect.set(element, name, value);
    } else {
      element.setAttribute(name, String(value));
    }
  }
}

/**
 * Make an element: `el("p", { class: "note" }, "Some ", el("b", {}, "text"))`.
 *
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Properties} [properties]
 * @param {...(Child | Child[])} children Those that are null, undefined or false are left out.
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  setProperties(element, properties);
  append(element, ...children);
  return element;
}

/**
 * Append children to an element.
 *
 * @param {Element} element
 * @param {...(Child | Child[])} children
 */
export function append(element, ...children) {
  for (const child of children.flat()) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : String(child));
  }
}

/**
 * Replace all that an element holds.
 *
 * @param {Element} element
 * @param {...(Child | Child[])} children
 */
export function fill(element, ...children) {
  element.replaceChildren();
  append(element, ...children);
}

/**
 * A column of a table.
 *
 * @template Row
 * @typedef {{
 *   title: string,
 *   cell: (row: Row) => Child | Child[],
 *   number?: boolean,
 *   sort?: (row: Row) => number | string | null,
 * }} Column `number` columns are aligned to the right; those with `sort` are sorted by a button in their head.
 */

/**
 * Make a table that its reader can sort; `update` draws it again with other rows, sorted as before.
 *
 * @template Row
 * @param {string} caption Read by screen readers.
 * @param {Column<Row>[]} columns
 * @param {Row[]} rows
 * @param {(row: Row) => Properties} [rowProperties]
 * @returns {{ element: HTMLElement, update: (rows: Row[]) => void }}
 */
export function table(caption, columns, rows, rowProperties = () => ({})) {
  const body = el("tbody");
  /** @type {HTMLTableCellElement[]} */
  const heads = [];
  let current = rows;
  let sorted = -1;
  let descending = false;

  function draw() {
    const key = columns[sorted]?.sort;
    const ordered = key
      ? [...current].sort((a, b) => compare(key(a), key(b)) * (descending ? -1 : 1))
      : current;
    fill(
      body,
      ordered.map(row =>
        el(
          "tr",
          rowProperties(row),
          columns.map(column => el("td", { class: column.number ? "number" : undefined }, column.cell(row))),
        ),
      ),
    );
    heads.forEach((head, index) => {
      if (columns[index].sort)
        head.setAttribute("aria-sort", index !== sorted ? "none" : descending ? "descending" : "ascending");
    });
  }

  for (const [index, column] of columns.entries()) {
    const head = el("th", { scope: "col", class: column.number ? "number" : undefined });
    const sort = () => {
      descending = sorted === index ? !descending : Boolean(column.number);
      sorted = index;
      draw();
    };
    append(head, column.sort ? el("button", { type: "button", onclick: sort }, column.title) : column.title);
    heads.push(head);
  }
  const element = el(
    "div",
    { class: "table", tabIndex: 0, role: "region", "aria-label": caption },
    el("table", {}, el("caption", { class: "unseen" }, caption), el("thead", {}, el("tr", {}, heads)), body),
  );
  draw();
  return {
    element,
    update(next) {
      current = next;
      draw();
    },
  };
}

/**
 * @param {number | string | null} a
 * @param {number | string | null} b
 */
function compare(a, b) {
  if (a === null || b === null) return Number(b === null) - Number(a === null);
  return typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
}

/**
 * Make a card: a section with a heading, and a place for controls beside it.
 *
 * @param {string} title
 * @param {{ class?: string, controls?: Child[] }} options
 * @param {...(Child | Child[])} children
 */
export function card(title, options, ...children) {
  const id = `card-${title.toLowerCase().replace(/[^a-z]+/g, "-")}`;
  return el(
    "section",
    { class: `card ${options.class ?? ""}`, "aria-labelledby": id },
    el("header", {}, el("h2", { id }, title), el("div", { class: "controls" }, options.controls ?? [])),
    ...children,
  );
}

const status = () => /** @type {HTMLElement} */ (document.getElementById("announcer"));

/**
 * Say something to users of screen readers.
 *
 * @param {string} text
 */
export function announce(text) {
  status().textContent = text;
}
