// The package's entry in browsers.
export * from './index';
