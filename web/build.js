/**
 * Bundle the page into harness/page/static/, from which the page's server serves it and a report inlines it.
 *
 *     web/npm run build
 */

import { copyFile, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import esbuild from "esbuild";

const here = fileURLToPath(new URL(".", import.meta.url));
const target = `${here}../harness/page/static`;

await rm(target, { recursive: true, force: true });
await mkdir(target, { recursive: true });
await esbuild.build({
  absWorkingDir: here,
  entryPoints: { page: "src/main.js" },
  outdir: target,
  bundle: true,
  format: "iife", // an inlined script cannot import, and a report is opened from a file
  target: "es2022",
  minify: true,
  charset: "ascii",
  legalComments: "none", // LICENSES.txt has them
  logLevel: "warning",
});
for (const name of ["page.html", "icon.svg"]) await copyFile(`${here}src/${name}`, `${target}/${name}`);

const uplot = JSON.parse(await readFile(`${here}node_modules/uplot/package.json`, "utf8"));
const licence = await readFile(`${here}node_modules/uplot/LICENSE`, "utf8");
await writeFile(
  `${target}/LICENSES.txt`,
  `The page draws its curves and histograms with uPlot ${uplot.version}, which is under this licence:\n\n${licence}`,
);
