// Adapters: small sets of weights that change a frozen model, trained, saved and switched by themselves.
export { Adapter } from './adapter';
export { Adapters, adaptersOf } from './adapters';
export type { AdapterOptions } from './choose';
export { adapterFromFlags, type LoraFlags } from './flags';
export { adapterMerger } from './merge';
