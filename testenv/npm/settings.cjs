// Node-RED as it comes, but for what concerns the world outside: it listens on the loopback address, asks nobody about
// updates, and installs nothing. It has no login of its own.
module.exports = {
  uiHost: '127.0.0.1',
  userDir: __dirname,
  flowFile: 'flows.json',
  credentialSecret: 'only for tests',
  telemetry: { enabled: false, updateNotification: false },
  diagnostics: { enabled: true, ui: true },
  externalModules: { autoInstall: false, palette: { allowInstall: false, allowUpdate: false }, modules: { allowInstall: false } },
  editorTheme: { tours: false, palette: { catalogues: [] } },
  logging: { console: { level: 'info', metrics: false, audit: false } },
};
