/** Light and dark: as the system has it, or as the reader chose. */

const KEY = "lambda-harness-theme";
const CHOICES = /** @type {const} */ (["system", "light", "dark"]);

/** @typedef {typeof CHOICES[number]} Theme */

/** @type {Set<() => void>} */
const listeners = new Set();
const system = () => window.matchMedia("(prefers-color-scheme: dark)");

/** @returns {Theme} */
export function chosenTheme() {
  try {
    const stored = localStorage.getItem(KEY);
    return CHOICES.find(choice => choice === stored) ?? "system";
  } catch {
    return "system"; // a file may have no storage
  }
}

/** @param {Theme} theme */
export function chooseTheme(theme) {
  try {
    localStorage.setItem(KEY, theme);
  } catch {
    // Then it holds until the page is closed.
  }
  applyTheme(theme);
}

/** @param {Theme} theme */
function applyTheme(theme) {
  const dark = theme === "dark" || (theme === "system" && system().matches);
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  palette.clear();
  for (const listener of listeners) listener();
}

/** Set the theme, and follow the system's from now on. */
export function startTheme() {
  applyTheme(chosenTheme());
  system().addEventListener("change", () => applyTheme(chosenTheme()));
}

/**
 * Call a function after each change of theme, to draw canvases again.
 *
 * @param {() => void} listener
 * @returns {() => void} Stops it.
 */
export function onTheme(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** @type {Map<string, string>} */
const palette = new Map();

/**
 * Look up a colour of page.css for a canvas: `colour("compute")` is `--compute`.
 *
 * @param {string} name
 */
export function colour(name) {
  const known = palette.get(name);
  if (known !== undefined) return known;
  const found = getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  palette.set(name, found);
  return found;
}
