/** Is a text JSON, and if not, where does it stop being so? Browsers say that in words of their own, or not at all. */

const SPACE = /[ \t\r\n]*/y;
// biome-ignore lint/suspicious/noControlCharactersInRegex: a string of JSON has none of them
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const SCALAR = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w.])|(?:true|false|null)(?!\w)/y;

/** Where a text stops being JSON. */
class Fault extends Error {
  /**
   * @param {number} at
   * @param {string} expected
   */
  constructor(at, expected) {
    super(expected);
    this.at = at;
  }
}

/**
 * Return what is wrong with a text as JSON, in one sentence with line and column; empty if nothing is.
 *
 * @param {string} text
 */
export function whatIsWrong(text) {
  if (!text.trim()) return "The payload is empty. An empty object is {}.";
  try {
    JSON.parse(text);
    return "";
  } catch (error) {
    return placed(text) ?? `This is not JSON: ${error instanceof Error ? error.message : error}.`;
  }
}

const TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g;

/**
 * Return JSON with indentation, its numbers and strings as they are; the text itself if it is not JSON.
 *
 * @param {string} text
 */
export function pretty(text) {
  try {
    JSON.parse(text);
  } catch {
    return text;
  }
  let depth = 0;
  let last = "";
  return (
    text
      .replace(/^\s+|\s+$/g, "")
      .match(TOKEN)
      ?.reduce((written, token) => {
        const closes = token === "}" || token === "]";
        if (closes) depth -= 1;
        const apart = (last === "{" || last === "[" || last === ",") && !(closes && last !== ",");
        const lined = apart || (closes && last !== "{" && last !== "[");
        const before = lined ? `\n${"  ".repeat(depth)}` : last === ":" ? " " : "";
        if (token === "{" || token === "[") depth += 1;
        last = token;
        return written + before + token;
      }, "") ?? text
  );
}

/** @param {string} text @returns {string|null} */
function placed(text) {
  try {
    const end = skip(SPACE, text, value(text, 0));
    if (end === text.length) return null;
    throw new Fault(end, "the end");
  } catch (error) {
    if (!(error instanceof Fault)) return null;
    const before = text.slice(0, error.at).split("\n");
    const found = error.at < text.length ? `not ${JSON.stringify(text[error.at])}` : "but the text ends";
    return `Line ${before.length}, column ${(before.at(-1) ?? "").length + 1}: ${error.message} should be here, ${found}.`;
  }
}

/** @param {RegExp} pattern @param {string} text @param {number} at @returns {number} Behind what it matches, or -1. */
function skip(pattern, text, at) {
  pattern.lastIndex = at;
  return pattern.test(text) ? pattern.lastIndex : -1;
}

/** @param {string} text @param {number} from @returns {number} Behind the value. */
function value(text, from) {
  const at = skip(SPACE, text, from);
  if (text[at] === "{") return sequence(text, at, "}", member);
  if (text[at] === "[") return sequence(text, at, "]", value);
  const end = Math.max(skip(STRING, text, at), skip(SCALAR, text, at));
  if (end > at) return end;
  throw new Fault(at, text[at] === '"' ? "a string that ends in its line" : "a value");
}

/** @param {string} text @param {number} from @returns {number} Behind the member of an object. */
function member(text, from) {
  const at = skip(SPACE, text, from);
  const name = skip(STRING, text, at);
  if (name < 0) throw new Fault(at, "a name in double quotes");
  const colon = skip(SPACE, text, name);
  if (text[colon] !== ":") throw new Fault(colon, "a colon");
  return value(text, colon + 1);
}

/**
 * @param {string} text
 * @param {number} from Where it begins.
 * @param {string} close
 * @param {(text: string, from: number) => number} one Reads one of its parts.
 * @returns {number} Behind the object or the array.
 */
function sequence(text, from, close, one) {
  let at = skip(SPACE, text, from + 1);
  if (text[at] === close) return at + 1;
  for (;;) {
    at = skip(SPACE, text, one(text, at));
    if (text[at] === close) return at + 1;
    if (text[at] !== ",") throw new Fault(at, `a comma or ${close}`);
    at += 1;
  }
}
