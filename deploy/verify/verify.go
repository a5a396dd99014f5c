// Is this webhook from Relay? Go 1.20 or later, nothing else.
//
//	KEY=whsec_… go run verify.go ID TIMESTAMP SIGNATURES < body
package main

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

const tolerance = 300 // seconds

// Verify tells whether one of the signatures in the headers is of key and no older than five minutes. key is the secret (whsec_…) or
// the public key (whpk_…), body the bytes as they came, before any JSON parser.
func Verify(key string, headers http.Header, body []byte) bool {
	id, stamp := headers.Get("webhook-id"), headers.Get("webhook-timestamp")
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	age := time.Now().Unix() - seconds
	if id == "" || err != nil || age > tolerance || age < -tolerance {
		return false
	}
	content := append([]byte(id+"."+stamp+"."), body...)
	for _, signature := range strings.Split(headers.Get("webhook-signature"), " ") {
		if isSignedBySecret(key, signature, content) || isSignedByPair(key, signature, content) {
			return true
		}
	}
	return false
}

func isSignedBySecret(key, signature string, content []byte) bool {
	encoded, isSecret := strings.CutPrefix(key, "whsec_")
	secret, err := base64.StdEncoding.DecodeString(encoded)
	if !isSecret || err != nil {
		return false
	}
	mac := hmac.New(sha256.New, secret)
	mac.Write(content)
	return hmac.Equal([]byte("v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil))), []byte(signature))
}

func isSignedByPair(key, signature string, content []byte) bool {
	encodedKey, isPublic := strings.CutPrefix(key, "whpk_")
	encoded, isPair := strings.CutPrefix(signature, "v1a,")
	public, err := base64.StdEncoding.DecodeString(encodedKey)
	given, err2 := base64.StdEncoding.DecodeString(encoded)
	return isPublic && isPair && err == nil && err2 == nil && len(public) == ed25519.PublicKeySize &&
		ed25519.Verify(public, content, given)
}

func main() {
	headers := http.Header{}
	for index, name := range []string{"webhook-id", "webhook-timestamp", "webhook-signature"} {
		if len(os.Args) > index+1 {
			headers.Set(name, os.Args[index+1])
		}
	}
	body, err := io.ReadAll(os.Stdin)
	if err != nil || !Verify(os.Getenv("KEY"), headers, body) {
		fmt.Fprintln(os.Stderr, "refused")
		os.Exit(1)
	}
}
