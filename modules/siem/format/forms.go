package format

// forms are the encoders by the names operators use, in the order they are told in.
var forms = []struct {
	name string
	enc  Encoder
}{
	{"json", JSON},
	{"ecs", ECS},
	{"ocsf", OCSF},
	{"cef", CEF},
	{"leef", LEEF},
	{"gelf", GELF},
	{"syslog", Syslog(nil, LogLocal0)},
	{"csv", CSV},
}

// Named returns the encoder with a name. "syslog" is [Syslog] without another encoder, to the facility local0.
func Named(name string) (Encoder, bool) {
	for _, f := range forms {
		if f.name == name {
			return f.enc, true
		}
	}
	return nil, false
}

// Names are those that Named knows.
func Names() []string {
	names := make([]string, len(forms))
	for i, f := range forms {
		names[i] = f.name
	}
	return names
}
