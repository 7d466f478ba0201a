package gatehouse

import "regexp"

var tenantName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// TenantName reports whether name can be a tenant's: a DNS label in lower case, so that it can stand in file names, logs
// and host names alike.
func TenantName(name string) bool { return tenantName.MatchString(name) }
