// `import text from 'package/file?raw'`: the text of a file, put in at build time (tsup.config.ts; Vite does the same in tests).
declare module '*?raw' {
  const text: string;
  export default text;
}
