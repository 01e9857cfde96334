// Smooths the values of a line.

/** The exponential moving average, without its pull towards 0 at the start. What is not finite is left out, and a gap.
 *  @param {ArrayLike<number>} values @param {number} weight of the past, 0 to below 1 */
export function smooth(values, weight) {
  let [last, past] = [0, 1];
  return Float64Array.from(values, (value) => {
    if (!Number.isFinite(value)) return NaN;
    last = last * weight + value * (1 - weight);
    past *= weight;
    return last / (1 - past);
  });
}
