// Made by scripts/build-wasm.mjs from wasm-bindgen's output. Do not edit.
export function createKernels() {
/**
 * Bytes of the arena.
 * @returns {number}
 */
function arena_bytes() {
    const ret = wasm.arena_bytes();
    if (ret[2]) {
        throw takeFromExternrefTable0(ret[1]);
    }
    return ret[0];
}

/**
 * Microseconds that one meeting of all threads takes: thread 0 calls the others and waits until they have answered, `rounds` times.
 * @param {number} rounds
 * @returns {number}
 */
function barrier_us(rounds) {
    const ret = wasm.barrier_us(rounds);
    if (ret[2]) {
        throw takeFromExternrefTable0(ret[1]);
    }
    return ret[0];
}

/**
 * Makes this memory's engine, for `threads` threads in all. Once per memory.
 * @param {number} threads
 */
function engine_init(threads) {
    const ret = wasm.engine_init(threads);
    if (ret[1]) {
        throw takeFromExternrefTable0(ret[0]);
    }
}

/**
 * `[code, at, value, instruction]` of the kernel fault that ended the last run; empty if none did.
 * @returns {Int32Array}
 */
function fault() {
    const ret = wasm.fault();
    if (ret[3]) {
        throw takeFromExternrefTable0(ret[2]);
    }
    var v1 = getArrayI32FromWasm0(ret[0], ret[1]).slice();
    wasm.__wbindgen_free(ret[0], ret[1] * 4, 4);
    return v1;
}

/**
 * Bytes in use: regions, arena, programs and scratch.
 * @returns {number}
 */
function live_bytes() {
    const ret = wasm.live_bytes();
    if (ret[2]) {
        throw takeFromExternrefTable0(ret[1]);
    }
    return ret[0];
}

/**
 * Whether multiply-add rounds once on this machine (only in the relaxed build, and only on some machines).
 * @returns {boolean}
 */
function madd_is_fused() {
    const ret = wasm.madd_is_fused();
    return ret !== 0;
}

/**
 * The text of the first panic in this memory; empty if there was none (a plain trap has no text).
 * @returns {string}
 */
function panic_text() {
    let deferred1_0;
    let deferred1_1;
    try {
        const ret = wasm.panic_text();
        deferred1_0 = ret[0];
        deferred1_1 = ret[1];
        return getStringFromWasm0(ret[0], ret[1]);
    } finally {
        wasm.__wbindgen_free(deferred1_0, deferred1_1, 1);
    }
}

/**
 * Says that a thread has died: every thread leaves its barrier, and every later call throws `POISONED`. Any thread may call it.
 * @param {number} code
 */
function poison(code) {
    wasm.poison(code);
}

/**
 * `[instruction, ms, flops, idle ms, …]` of the program run last since profiling was turned on (ms: all threads and runs; flops: one run;
 * idle: of all threads in the stage that begins with the instruction).
 * @returns {Float64Array}
 */
function profile() {
    const ret = wasm.profile();
    if (ret[3]) {
        throw takeFromExternrefTable0(ret[2]);
    }
    var v1 = getArrayF64FromWasm0(ret[0], ret[1]).slice();
    wasm.__wbindgen_free(ret[0], ret[1] * 8, 8);
    return v1;
}

/**
 * Turns timing of each instruction on or off, and forgets what was measured.
 * @param {boolean} on
 */
function profile_enable(on) {
    const ret = wasm.profile_enable(on);
    if (ret[1]) {
        throw takeFromExternrefTable0(ret[0]);
    }
}

/**
 * Forgets a program; the arena shrinks to what the others need.
 * @param {number} id
 */
function program_free(id) {
    const ret = wasm.program_free(id);
    if (ret[1]) {
        throw takeFromExternrefTable0(ret[0]);
    }
}

/**
 * Checks and loads a program (docs/architecture.md, section 2), bound to these regions; returns its id.
 * @param {Uint32Array | number[]} words
 * @param {Uint32Array | number[]} bindings
 * @returns {number}
 */
function program_load(words, bindings) {
    let ptr0, len0, ptr1, len1;
    try {
        ptr0 = passArray32ToWasm0(words, wasm.__wbindgen_malloc);
        len0 = WASM_VECTOR_LEN;
        ptr1 = passArray32ToWasm0(bindings, wasm.__wbindgen_malloc);
        len1 = WASM_VECTOR_LEN;
    } catch (e) {
        if (ptr1) { wasm.__wbindgen_free(ptr1, len1 * 4, 4); }
        if (ptr0) { wasm.__wbindgen_free(ptr0, len0 * 4, 4); }
        throw e;
    }
    const ret = wasm.program_load(ptr0, len0, ptr1, len1);
    if (ret[2]) {
        throw takeFromExternrefTable0(ret[1]);
    }
    return ret[0] >>> 0;
}

/**
 * Number of loaded programs.
 * @returns {number}
 */
function programs_loaded() {
    const ret = wasm.programs_loaded();
    if (ret[2]) {
        throw takeFromExternrefTable0(ret[1]);
    }
    return ret[0] >>> 0;
}

/**
 * A new zeroed, 64-byte aligned region of `bytes` < 2 GiB; returns its id (never 0, never used again).
 * @param {number} bytes
 * @returns {number}
 */
function region_alloc(bytes) {
    const ret = wasm.region_alloc(bytes);
    if (ret[2]) {
        throw takeFromExternrefTable0(ret[1]);
    }
    return ret[0] >>> 0;
}

/**
 * Bytes of a region, as asked for.
 * @param {number} id
 * @returns {number}
 */
function region_bytes(id) {
    const ret = wasm.region_bytes(id);
    if (ret[2]) {
        throw takeFromExternrefTable0(ret[1]);
    }
    return ret[0] >>> 0;
}

/**
 * Sets every float of a region.
 * @param {number} id
 * @param {number} value
 */
function region_fill(id, value) {
    const ret = wasm.region_fill(id, value);
    if (ret[1]) {
        throw takeFromExternrefTable0(ret[0]);
    }
}

/**
 * Fills a region with `mean + std · z`, z standard normal by (seed, path, element).
 * @param {number} id
 * @param {number} mean
 * @param {number} std
 * @param {number} seed_lo
 * @param {number} seed_hi
 * @param {number} path_lo
 * @param {number} path_hi
 */
function region_fill_normal(id, mean, std, seed_lo, seed_hi, path_lo, path_hi) {
    const ret = wasm.region_fill_normal(id, mean, std, seed_lo, seed_hi, path_lo, path_hi);
    if (ret[1]) {
        throw takeFromExternrefTable0(ret[0]);
    }
}

/**
 * Fills a region of `rows` × `cols` floats with the table of rotary positions. Frequencies are divided by `factor`, as Llama 3.1 does
 * where `original` (positions of its context) is above 0, all of them otherwise.
 * @param {number} id
 * @param {number} rows
 * @param {number} cols
 * @param {number} base
 * @param {number} factor
 * @param {number} low
 * @param {number} high
 * @param {number} original
 */
function region_fill_rotary(id, rows, cols, base, factor, low, high, original) {
    const ret = wasm.region_fill_rotary(id, rows, cols, base, factor, low, high, original);
    if (ret[1]) {
        throw takeFromExternrefTable0(ret[0]);
    }
}

/**
 * Fills a region of `rows` × `cols` floats with the sinusoidal position table plus `noise · z`.
 * @param {number} id
 * @param {number} rows
 * @param {number} cols
 * @param {number} noise
 * @param {number} seed_lo
 * @param {number} seed_hi
 * @param {number} path_lo
 * @param {number} path_hi
 */
function region_fill_sinusoidal(id, rows, cols, noise, seed_lo, seed_hi, path_lo, path_hi) {
    const ret = wasm.region_fill_sinusoidal(id, rows, cols, noise, seed_lo, seed_hi, path_lo, path_hi);
    if (ret[1]) {
        throw takeFromExternrefTable0(ret[0]);
    }
}

/**
 * Fills a region with `low + (high − low) · u`, u uniform in [0, 1) by (seed, path, element).
 * @param {number} id
 * @param {number} low
 * @param {number} high
 * @param {number} seed_lo
 * @param {number} seed_hi
 * @param {number} path_lo
 * @param {number} path_hi
 */
function region_fill_uniform(id, low, high, seed_lo, seed_hi, path_lo, path_hi) {
    const ret = wasm.region_fill_uniform(id, low, high, seed_lo, seed_hi, path_lo, path_hi);
    if (ret[1]) {
        throw takeFromExternrefTable0(ret[0]);
    }
}

/**
 * Frees a region. Refused (`BUSY`) while a run is in progress.
 * @param {number} id
 */
function region_free(id) {
    const ret = wasm.region_free(id);
    if (ret[1]) {
        throw takeFromExternrefTable0(ret[0]);
    }
}

/**
 * Byte offset of a region in the memory; the same for the region's life.
 * @param {number} id
 * @returns {number}
 */
function region_ptr(id) {
    const ret = wasm.region_ptr(id);
    if (ret[2]) {
        throw takeFromExternrefTable0(ret[1]);
    }
    return ret[0] >>> 0;
}

/**
 * Says that the region was written from JavaScript.
 * @param {number} id
 */
function region_touch(id) {
    const ret = wasm.region_touch(id);
    if (ret[1]) {
        throw takeFromExternrefTable0(ret[0]);
    }
}

/**
 * A number that changes whenever the region's contents may have changed.
 * @param {number} id
 * @returns {number}
 */
function region_version(id) {
    const ret = wasm.region_version(id);
    if (ret[2]) {
        throw takeFromExternrefTable0(ret[1]);
    }
    return ret[0] >>> 0;
}

/**
 * Bytes of all regions.
 * @returns {number}
 */
function regions_bytes() {
    const ret = wasm.regions_bytes();
    if (ret[2]) {
        throw takeFromExternrefTable0(ret[1]);
    }
    return ret[0];
}

/**
 * A register tile's size: "4x8".
 * @param {number} tile
 * @returns {string}
 */
function register_tile_name(tile) {
    let deferred2_0;
    let deferred2_1;
    try {
        const ret = wasm.register_tile_name(tile);
        var ptr1 = ret[0];
        var len1 = ret[1];
        if (ret[3]) {
            ptr1 = 0; len1 = 0;
            throw takeFromExternrefTable0(ret[2]);
        }
        deferred2_0 = ptr1;
        deferred2_1 = len1;
        return getStringFromWasm0(ptr1, len1);
    } finally {
        wasm.__wbindgen_free(deferred2_0, deferred2_1, 1);
    }
}

/**
 * How many register tiles the matrix product has; they are numbered from 0, the default.
 * @returns {number}
 */
function register_tiles() {
    const ret = wasm.register_tiles();
    if (ret[2]) {
        throw takeFromExternrefTable0(ret[1]);
    }
    return ret[0] >>> 0;
}

/**
 * Ends the run in progress where it stands. Without one, nothing happens.
 */
function run_abandon() {
    const ret = wasm.run_abandon();
    if (ret[1]) {
        throw takeFromExternrefTable0(ret[0]);
    }
}

/**
 * Begins a run; everything is checked, nothing executed.
 * @param {number} program
 * @param {Uint32Array | number[]} extents
 * @param {Float64Array | number[]} scalars
 */
function run_begin(program, extents, scalars) {
    const val3 = +program;
    let ptr0, len0, ptr1, len1;
    try {
        ptr0 = passArray32ToWasm0(extents, wasm.__wbindgen_malloc);
        len0 = WASM_VECTOR_LEN;
        ptr1 = passArrayF64ToWasm0(scalars, wasm.__wbindgen_malloc);
        len1 = WASM_VECTOR_LEN;
    } catch (e) {
        if (ptr1) { wasm.__wbindgen_free(ptr1, len1 * 8, 8); }
        if (ptr0) { wasm.__wbindgen_free(ptr0, len0 * 4, 4); }
        throw e;
    }
    const ret = wasm.run_begin(val3, ptr0, len0, ptr1, len1);
    if (ret[1]) {
        throw takeFromExternrefTable0(ret[0]);
    }
}

/**
 * Goes on with the run for about `budget_ms`. 0: done, 1: call again.
 * @param {number} budget_ms
 * @returns {number}
 */
function run_slice(budget_ms) {
    const ret = wasm.run_slice(budget_ms);
    if (ret[2]) {
        throw takeFromExternrefTable0(ret[1]);
    }
    return ret[0] >>> 0;
}

/**
 * Refuses allocations that would bring the bytes in use beyond `bytes` (default and most: 4 GiB).
 * @param {number} bytes
 */
function set_memory_limit(bytes) {
    const ret = wasm.set_memory_limit(bytes);
    if (ret[1]) {
        throw takeFromExternrefTable0(ret[0]);
    }
}

/**
 * The register tile that products use from now on; it changes speed, never a bit.
 * @param {number} tile
 */
function set_register_tile(tile) {
    const ret = wasm.set_register_tile(tile);
    if (ret[1]) {
        throw takeFromExternrefTable0(ret[0]);
    }
}

/**
 * Lets every [`thread_main`] return. The engine cannot run anything afterwards.
 */
function shutdown() {
    wasm.shutdown();
}

/**
 * Works for thread 0 until [`shutdown`]: blocks this thread. Throws `POISONED` when another thread died.
 * @param {number} tid
 */
function thread_main(tid) {
    const ret = wasm.thread_main(tid);
    if (ret[1]) {
        throw takeFromExternrefTable0(ret[0]);
    }
}

/**
 * Multiplies with one register tile for `budget_ms` on this thread; returns GFLOP/s.
 * @param {number} tile
 * @param {number} budget_ms
 * @returns {number}
 */
function tile_self_test(tile, budget_ms) {
    const ret = wasm.tile_self_test(tile, budget_ms);
    if (ret[2]) {
        throw takeFromExternrefTable0(ret[1]);
    }
    return ret[0];
}
function __wbg_get_imports(memory) {
    const import0 = {
        __proto__: null,
        __wbg_Error_208446807d0d1e30: function(arg0, arg1) {
            const ret = Error(getStringFromWasm0(arg0, arg1));
            return ret;
        },
        __wbg_now_e1501a0abad8b6f3: function() {
            const ret = performance.now();
            return ret;
        },
        __wbindgen_init_externref_table: function() {
            const table = wasm.__wbindgen_externrefs;
            table.set(0, undefined);
            table.set(1024, undefined);
            table.set(1025, null);
            table.set(1026, true);
            table.set(1027, false);
        },
        memory,
    };
    return {
        __proto__: null,
        "./ferroformer_wasm_bg.js": import0,
    };
}

function getArrayF64FromWasm0(ptr, len) {
    ptr = ptr >>> 0;
    return getFloat64ArrayMemory0().subarray(ptr / 8, ptr / 8 + len);
}

function getArrayI32FromWasm0(ptr, len) {
    ptr = ptr >>> 0;
    return getInt32ArrayMemory0().subarray(ptr / 4, ptr / 4 + len);
}

let cachedFloat64ArrayMemory0 = null;
function getFloat64ArrayMemory0() {
    if (cachedFloat64ArrayMemory0 === null || cachedFloat64ArrayMemory0.buffer !== wasm.memory.buffer) {
        cachedFloat64ArrayMemory0 = new Float64Array(wasm.memory.buffer);
    }
    return cachedFloat64ArrayMemory0;
}

let cachedInt32ArrayMemory0 = null;
function getInt32ArrayMemory0() {
    if (cachedInt32ArrayMemory0 === null || cachedInt32ArrayMemory0.buffer !== wasm.memory.buffer) {
        cachedInt32ArrayMemory0 = new Int32Array(wasm.memory.buffer);
    }
    return cachedInt32ArrayMemory0;
}

function getStringFromWasm0(ptr, len) {
    ptr = ptr >>> 0;
    return decodeText(getUint8ArrayMemory0().subarray(ptr, ptr + len));
}

let cachedUint32ArrayMemory0 = null;
function getUint32ArrayMemory0() {
    if (cachedUint32ArrayMemory0 === null || cachedUint32ArrayMemory0.buffer !== wasm.memory.buffer) {
        cachedUint32ArrayMemory0 = new Uint32Array(wasm.memory.buffer);
    }
    return cachedUint32ArrayMemory0;
}

let cachedUint8ArrayMemory0 = null;
function getUint8ArrayMemory0() {
    if (cachedUint8ArrayMemory0 === null || cachedUint8ArrayMemory0.buffer !== wasm.memory.buffer) {
        cachedUint8ArrayMemory0 = new Uint8Array(wasm.memory.buffer);
    }
    return cachedUint8ArrayMemory0;
}

function passArray32ToWasm0(arg, malloc) {
    const ptr = malloc(arg.length * 4, 4) >>> 0;
    getUint32ArrayMemory0().set(arg, ptr / 4);
    WASM_VECTOR_LEN = arg.length;
    return ptr;
}

function passArrayF64ToWasm0(arg, malloc) {
    const ptr = malloc(arg.length * 8, 8) >>> 0;
    getFloat64ArrayMemory0().set(arg, ptr / 8);
    WASM_VECTOR_LEN = arg.length;
    return ptr;
}

function takeFromExternrefTable0(idx) {
    const value = wasm.__wbindgen_externrefs.get(idx);
    wasm.__externref_table_dealloc(idx);
    return value;
}

let cachedTextDecoder = (typeof TextDecoder !== 'undefined' ? new TextDecoder('utf-8', { ignoreBOM: true }) : undefined);
if (cachedTextDecoder) cachedTextDecoder.decode();

const MAX_SAFARI_DECODE_BYTES = 2146435072;
let numBytesDecoded = 0;
function decodeText(bytes) {
    numBytesDecoded += bytes.length;
    if (numBytesDecoded >= MAX_SAFARI_DECODE_BYTES) {
        cachedTextDecoder = new TextDecoder('utf-8', { ignoreBOM: true });
        cachedTextDecoder.decode();
        numBytesDecoded = bytes.length;
    }
    return cachedTextDecoder.decode(bytes.slice());
}

let WASM_VECTOR_LEN = 0;

let wasmModule, wasmInstance, wasm;
function __wbg_finalize_init(instance, module, thread_stack_size) {
    wasmInstance = instance;
    wasm = instance.exports;
    wasmModule = module;
    cachedFloat64ArrayMemory0 = null;
    cachedInt32ArrayMemory0 = null;
    cachedUint32ArrayMemory0 = null;
    cachedUint8ArrayMemory0 = null;
    if (typeof thread_stack_size !== 'undefined' && (typeof thread_stack_size !== 'number' || thread_stack_size === 0 || thread_stack_size % 65536 !== 0)) {
        throw new Error('invalid stack size');
    }

    wasm.__wbindgen_start(thread_stack_size);
    return wasm;
}


function initSync(module, memory) {
    if (wasm !== undefined) return wasm;

    let thread_stack_size
    if (module !== undefined) {
        if (Object.getPrototypeOf(module) === Object.prototype) {
            ({module, memory, thread_stack_size} = module)
        } else {
            console.warn('using deprecated parameters for `initSync()`; pass a single object instead')
        }
    }

    const imports = __wbg_get_imports(memory);
    if (!(module instanceof WebAssembly.Module)) {
        module = new WebAssembly.Module(module);
    }
    const instance = new WebAssembly.Instance(module, imports);
    return __wbg_finalize_init(instance, module, thread_stack_size);
}



return { initSync, arena_bytes, barrier_us, engine_init, fault, live_bytes, madd_is_fused, panic_text, poison, profile, profile_enable, program_free, program_load, programs_loaded, region_alloc, region_bytes, region_fill, region_fill_normal, region_fill_rotary, region_fill_sinusoidal, region_fill_uniform, region_free, region_ptr, region_touch, region_version, regions_bytes, register_tile_name, register_tiles, run_abandon, run_begin, run_slice, set_memory_limit, set_register_tile, shutdown, thread_main, tile_self_test };
}
