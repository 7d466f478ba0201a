package pseudonym

import "strings"

// browsers are the names that may be told, the more particular first: most browsers name others too.
var browsers = []struct{ token, name string }{
	{"Edg/", "Edge"}, {"OPR/", "Opera"}, {"SamsungBrowser/", "Samsung"}, {"Firefox/", "Firefox"}, {"CriOS/", "Chrome"},
	{"FxiOS/", "Firefox"}, {"HeadlessChrome/", "HeadlessChrome"}, {"Chrome/", "Chrome"}, {"Version/", "Safari"}, {"curl/", "curl"}, {"Wget/", "Wget"},
	{"Go-http-client/", "Go-http-client"}, {"python-requests/", "python-requests"}, {"python-httpx/", "python-httpx"},
	{"okhttp/", "okhttp"}, {"PostmanRuntime/", "Postman"}, {"axios/", "axios"}, {"node", "node"}, {"Java/", "Java"},
	{"Googlebot/", "Googlebot"}, {"bingbot/", "bingbot"}, {"sqlmap/", "sqlmap"}, {"Nikto/", "Nikto"},
}

var systems = []string{"Windows", "Android", "iPhone", "iPad", "Macintosh", "CrOS", "Linux"}

// Agent is what may be told of a User-Agent: a browser's or a program's name with its major version, and the system it runs on,
// of those that are known; otherwise "other".
func Agent(s string) string {
	if s == "" {
		return ""
	}
	name := "other"
	for _, b := range browsers {
		if _, rest, ok := strings.Cut(s, b.token); ok {
			name = b.name
			major, _, _ := strings.Cut(rest, ".")
			if number(major) && major != "" {
				name += "/" + major
			}
			break
		}
	}
	for _, system := range systems {
		if strings.Contains(s, system) {
			return name + " " + system
		}
	}
	return name
}
