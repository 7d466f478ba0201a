package valkey

import (
	"strconv"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// UnmarshalCaddyfile reads
//
//	store valkey <host:port...> {
//		sentinel <primary>
//		name <name>
//		user <name> <password>
//		password <password>
//		trust_pem <file>
//		certificate <cert_file> <key_file>
//		grace <duration>
//		replicas <number> [<duration>]
//		insecure_tls12
//		insecure_plaintext
//	}
func (s *Store) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the engine's name
	s.Addresses = d.RemainingArgs()
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		word, args := d.Val(), d.RemainingArgs()
		switch {
		case word == "sentinel" && len(args) == 1:
			s.Sentinel = args[0]
		case word == "name" && len(args) == 1:
			s.Name = args[0]
		case word == "user" && len(args) == 2:
			s.User, s.Password = args[0], args[1]
		case word == "password" && len(args) == 1:
			s.Password = args[0]
		case word == "trust_pem" && len(args) == 1:
			s.TrustPEM = args[0]
		case word == "certificate" && len(args) == 2:
			s.Certificate, s.Key = args[0], args[1]
		case word == "grace" && len(args) == 1:
			grace, err := caddy.ParseDuration(args[0])
			if err != nil || grace <= 0 {
				return d.Errf("store valkey: grace: %q is not a positive duration: write one like 10m", args[0])
			}
			s.Grace = caddy.Duration(grace)
		case word == "replicas" && (len(args) == 1 || len(args) == 2):
			n, err := strconv.Atoi(args[0])
			if err != nil || n < 1 {
				return d.Errf("store valkey: replicas: %q is no number of replicas: write one like 1", args[0])
			}
			s.Replicas = n
			if len(args) == 2 {
				within, err := caddy.ParseDuration(args[1])
				if err != nil || within <= 0 {
					return d.Errf("store valkey: replicas: %q is not a positive duration: write one like 1s", args[1])
				}
				s.ReplicasWithin = caddy.Duration(within)
			}
		case word == "insecure_tls12" && len(args) == 0:
			s.InsecureTLS12 = true
		case word == "insecure_plaintext" && len(args) == 0:
			s.InsecurePlaintext = true
		default:
			return d.Errf("store valkey: %q is no option, or has not the arguments that it needs: the options are sentinel <primary>, name <name>, user <name> <password>, password <password>, trust_pem <file>, certificate <cert_file> <key_file>, grace <duration>, replicas <number> [<duration>], insecure_tls12, insecure_plaintext", word)
		}
	}
	return nil
}
