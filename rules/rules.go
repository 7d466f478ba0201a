// Package rules holds the WAF rules that are ours: how Coraza is set up, how the OWASP Core Rule Set (CRS) is set up,
// and what stands before and after it. CRS itself comes, unchanged, from the module coraza-coreruleset.
//
// README.md says what a rule file must look like and in which order everything is loaded.
package rules

import "embed"

// FS holds coraza.conf, crs-setup.conf and the folders before, after, virtual-patches and apps.
//
//go:embed coraza.conf crs-setup.conf before/*.conf after/*.conf apps/*/*/*.conf virtual-patches/*.conf
var FS embed.FS
