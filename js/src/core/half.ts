// Numbers of 16 bits (IEEE 754 binary16), which browsers do not all read by themselves yet.

let table: Float32Array | null = null;

/** Read them by a table of all 65,536: a layer of a hundred tokens takes a millisecond. */
export function half(bits: Uint16Array): Float32Array {
  table ??= Float32Array.from({ length: 65536 }, (_, i) => {
    const exponent = (i >> 10) & 31;
    const fraction = (i & 1023) / 1024;
    const size = exponent === 0 ? fraction * 2 ** -14 : (1 + fraction) * 2 ** (exponent - 15);
    return (i & 32768 ? -1 : 1) * (exponent === 31 ? (fraction ? Number.NaN : 1 / 0) : size);
  });
  const out = new Float32Array(bits.length);
  for (let i = 0; i < bits.length; i++) out[i] = table[bits[i] ?? 0] ?? 0;
  return out;
}
