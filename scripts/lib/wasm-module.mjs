// Reads of a .wasm file what the checks of the kernels need: its function types, its functions' names and where their bodies lie. It also cuts the bodies of
// some functions out. Not a validator: it takes files that an engine has accepted.

const V128 = 0x7b;

class Reader {
  constructor(bytes, at = 0) {
    this.bytes = bytes;
    this.at = at;
  }
  byte() {
    return this.bytes[this.at++];
  }
  /** An unsigned LEB128 number of up to 32 bits. */
  u32() {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = this.byte();
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value >>> 0;
    }
  }
  text() {
    const length = this.u32();
    this.at += length;
    return Buffer.from(this.bytes.subarray(this.at - length, this.at)).toString('utf8');
  }
  /** Calls `read` as often as the number that comes first says; returns what it returned. */
  list(read) {
    return Array.from({ length: this.u32() }, () => read());
  }
  limits() {
    const flags = this.byte();
    this.u32();
    if (flags & 1) this.u32();
  }
}

/** The imported functions' type indices. */
function importedFunctions(reader) {
  const types = [];
  reader.list(() => {
    reader.text();
    reader.text();
    const kind = reader.byte();
    if (kind === 0) types.push(reader.u32());
    else if (kind === 3) reader.at += 2;
    else {
      if (kind === 1) reader.byte();
      reader.limits();
    }
  });
  return types;
}

function functionNames(reader, end) {
  const names = new Map();
  while (reader.at < end) {
    const id = reader.byte();
    const next = reader.u32() + reader.at;
    if (id === 1) reader.list(() => names.set(reader.u32(), reader.text()));
    reader.at = next;
  }
  return names;
}

/** `{ sections, types, functions }`; a function is `{ index, name, type, body: [start, end] }`, imported ones are left out. */
export function readModule(bytes) {
  const reader = new Reader(bytes, 8);
  const module = { sections: [], types: [], functions: [] };
  let [imported, declared, bodies, names] = [[], [], [], new Map()];
  while (reader.at < bytes.length) {
    const start = reader.at;
    const id = reader.byte();
    const end = reader.u32() + reader.at;
    if (id === 1) {
      const valueTypes = () => reader.list(() => reader.byte());
      module.types = reader.list(() => {
        reader.byte(); // a function type
        return { params: valueTypes(), results: valueTypes() };
      });
    } else if (id === 2) imported = importedFunctions(reader);
    else if (id === 3) declared = reader.list(() => reader.u32());
    else if (id === 10) {
      bodies = reader.list(() => {
        const bodyEnd = reader.u32() + reader.at;
        const body = [reader.at, bodyEnd];
        reader.at = bodyEnd;
        return body;
      });
    } else if (id === 0 && reader.text() === 'name') names = functionNames(reader, end);
    reader.at = end;
    module.sections.push({ id, start, end });
  }
  module.functions = declared.map((type, i) => {
    const index = imported.length + i;
    return { index, name: names.get(index) ?? `function ${index}`, type: module.types[type], body: bodies[i] };
  });
  return module;
}

/** The names of the functions that take a vector by value, on which V8 14.6 dies when it fuses to 256 bits (docs/kernels.md). */
export function functionsWithVectorParameters(bytes) {
  return readModule(bytes)
    .functions.filter(({ type }) => type.params.includes(V128))
    .map(({ name }) => name);
}

function leb(value) {
  const bytes = [];
  for (let rest = value; ; rest >>>= 7) {
    if (rest < 0x80) return Buffer.from([...bytes, rest]);
    bytes.push((rest & 0x7f) | 0x80);
  }
}

/** The module with only those bodies for which `keep(function)` holds; the others become `unreachable`. */
export function withOnly(bytes, keep) {
  const { sections, functions } = readModule(bytes);
  const trap = Buffer.from([0, 0, 0x0b]); // no locals, unreachable, end
  const parts = [bytes.subarray(0, 8)];
  for (const { id, start, end } of sections) {
    if (id !== 10) {
      parts.push(bytes.subarray(start, end));
      continue;
    }
    const bodies = functions.map((f) => (keep(f) ? bytes.subarray(...f.body) : trap));
    const content = Buffer.concat([leb(bodies.length), ...bodies.flatMap((body) => [leb(body.length), body])]);
    parts.push(Buffer.from([id]), leb(content.length), content);
  }
  return Buffer.concat(parts);
}
