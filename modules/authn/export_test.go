package authn

// For tests of the whole gateway, which stand outside the package.
var SessionsOf = sessionsOf

const SessionCookie = sessionCookie
