// The options of the whole library and of its command line: one table (options/table.ts), one reader (options/read.ts), one kind of check
// (options/checks.ts). A new option is one row of the table and one entry in a list; flags, help and checks follow. Nothing here knows what an option does.

export type { Check, Kind, RopeScalingOption } from './options/checks';
export { checkNames, namesOf } from './options/known';
export * from './options/lists';
export { camelCase, kebabCase, nearest, snakeCase } from './options/names';
export { checkValue, type OptionValues, type ReadStyle, readOptions } from './options/read';
export { OPTIONS, type Option, type OptionName } from './options/table';
