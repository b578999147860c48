/** Bars instead of lines. */

import uPlot from "uplot";

/**
 * Make bars of a share of their place: to the left of its middle (-1), around it (0), or to the right (1).
 *
 * @param {number} share
 * @param {-1 | 0 | 1} align
 * @returns {uPlot.Series.PathBuilder}
 */
export function bars(share, align) {
  const builder = /** @type {uPlot.Series.BarsPathBuilderFactory} */ (uPlot.paths.bars);
  return builder({ size: [share, 60], align, gap: align === 0 ? 1 : 0 });
}
