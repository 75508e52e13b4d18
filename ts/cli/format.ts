// Numbers as people read them: 12,345; 1m 05s; 1.2 GB. For the command line's own output and for nothing that is read back.

/** 1234567 → "1,234,567"; rounded to an integer. */
export function formatCount(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}

/** Seconds as "8 s", "1m 05s", "2h 03m"; "?" for what is not known yet. */
export function formatSeconds(seconds: number): string {
  if (!Number.isFinite(seconds) || seconds < 0) return '?';
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const two = (n: number) => String(n).padStart(2, '0');
  if (whole < 3600) return `${Math.floor(whole / 60)}m ${two(whole % 60)}s`;
  return `${Math.floor(whole / 3600)}h ${two(Math.floor((whole % 3600) / 60))}m`;
}

/** Bytes as "512 B", "1.5 kB", "2.0 GB" (powers of 1000). */
export function formatBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return unit === 0 ? `${value} B` : `${value.toFixed(value < 99.95 ? 1 : 0)} ${units[unit]}`;
}

/** A large number with a unit of powers of 1000: 2.5e12 → "2.5 T". */
export function formatScale(value: number): string {
  const units = ['', ' k', ' M', ' G', ' T', ' P', ' E'];
  let scaled = value;
  let unit = 0;
  while (scaled >= 999.5 && unit < units.length - 1) {
    scaled /= 1000;
    unit++;
  }
  return `${unit === 0 ? scaled : scaled.toFixed(scaled < 99.95 ? 1 : 0)}${units[unit]}`;
}

/** A score: four digits after the point for shares and error rates, two for what runs to 100, none for counts. */
export function formatScore(value: number): string {
  if (Number.isInteger(value) && value > 1) return formatCount(value);
  return value.toFixed(Math.abs(value) > 2 ? 2 : 4);
}

/** Rows of cells as aligned columns; the first column to the left, the others to the right. */
export function formatTable(rows: readonly (readonly string[])[]): string {
  const columns = Math.max(0, ...rows.map((row) => row.length));
  const widths = Array.from({ length: columns }, (_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0)));
  const align = (cell: string, i: number) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]));
  return rows.map((row) => row.map(align).join('  ').trimEnd()).join('\n');
}
