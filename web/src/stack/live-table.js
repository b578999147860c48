/** A table whose rows change while somebody reads it: cells that stay the same stay in place, with the focus in them. */

import { append, el } from "../shared/dom.js";

/** @import { Child, Properties } from "../shared/dom.js" */

/**
 * @template Row
 * @typedef {{
 *   title: string,
 *   cell: (row: Row) => Child | Child[],
 *   number?: boolean,
 *   sort?: string,
 *   unseen?: boolean,
 *   class?: string,
 * }} LiveColumn `sort` names the order that a press of its head asks for; the title of an `unseen` one is for screen
 *     readers only.
 */

/** @typedef {{ key: string, down: boolean }} Order */

/**
 * Make a table; `update` shows other rows, and those that it had already stay in place.
 *
 * Listeners in a cell must go by the row's key, because the cell of an older record of the same row may stay.
 *
 * @template Row
 * @param {string} caption Read by screen readers.
 * @param {LiveColumn<Row>[]} columns
 * @param {{ key: (row: Row) => string, row?: (row: Row) => Properties, onSort?: (key: string) => void }} options
 * @returns {{ element: HTMLElement, update: (rows: Row[], order?: Order) => void }}
 */
export function liveTable(caption, columns, options) {
  const body = el("tbody");
  const heads = columns.map(column => headOf(column, options.onSort));
  /** @type {Map<string, HTMLTableRowElement>} */
  let shown = new Map();

  /** @param {Row} row */
  function draw(row) {
    const drawn = el("tr", options.row?.(row) ?? {});
    for (const column of columns) {
      append(drawn, el("td", { class: classOf(column) }, column.cell(row)));
    }
    const old = shown.get(options.key(row));
    return old ? mend(old, drawn) : drawn;
  }

  const element = el(
    "div",
    { class: "table", tabIndex: 0, role: "region", "aria-label": caption },
    el("table", {}, el("caption", { class: "unseen" }, caption), el("thead", {}, el("tr", {}, heads)), body),
  );
  return {
    element,
    update(rows, order) {
      const next = new Map(rows.map(row => [options.key(row), draw(row)]));
      for (const [key, row] of shown) if (next.get(key) !== row) row.remove();
      let place = body.firstChild;
      for (const row of next.values()) {
        if (row === place) place = row.nextSibling;
        else body.insertBefore(row, place);
      }
      shown = next;
      columns.forEach((column, index) => {
        if (column.sort) heads[index].setAttribute("aria-sort", sortedBy(column.sort, order));
      });
    },
  };
}

/**
 * @template Row
 * @param {LiveColumn<Row>} column
 * @param {((key: string) => void) | undefined} onSort
 */
function headOf(column, onSort) {
  const { sort, title } = column;
  const content = sort
    ? el("button", { type: "button", onclick: () => onSort?.(sort) }, title)
    : el("span", { class: column.unseen ? "unseen" : undefined }, title);
  return el("th", { scope: "col", class: classOf(column) }, content);
}

/**
 * @template Row
 * @param {LiveColumn<Row>} column
 */
function classOf(column) {
  return [column.number && "number", column.class].filter(Boolean).join(" ") || undefined;
}

/**
 * @param {string} key
 * @param {Order | undefined} order
 */
function sortedBy(key, order) {
  if (order?.key !== key) return "none";
  return order.down ? "descending" : "ascending";
}

/**
 * Bring a row to a newer state, and touch only what differs.
 *
 * @param {HTMLTableRowElement} old
 * @param {HTMLTableRowElement} drawn
 */
function mend(old, drawn) {
  for (const name of new Set([...old.getAttributeNames(), ...drawn.getAttributeNames()])) {
    const value = drawn.getAttribute(name);
    if (value === null) old.removeAttribute(name);
    else if (value !== old.getAttribute(name)) old.setAttribute(name, value);
  }
  const cells = [...drawn.cells];
  [...old.cells].forEach((cell, index) => {
    if (!cell.isEqualNode(cells[index])) cell.replaceWith(cells[index]);
  });
  return old;
}
