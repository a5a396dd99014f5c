<?php
// Is this webhook from Relay? PHP 8 or later, nothing else (sodium, for whpk_ keys, comes with it).
//
// KEY=whsec_… php verify.php ID TIMESTAMP SIGNATURES < body
declare(strict_types=1);

const TOLERANCE = 300; // seconds

// Whether one of the signatures in $headers (names in lower case) is of $key and no older than five minutes. $key: the secret
// (whsec_…) or the public key (whpk_…). $body: as it came, file_get_contents('php://input'), before any JSON parser.
function verify(string $key, array $headers, string $body): bool
{
    $id = $headers['webhook-id'] ?? '';
    $timestamp = $headers['webhook-timestamp'] ?? '';
    if ($id === '' || !preg_match('/^[0-9]{1,12}$/D', $timestamp) || abs(time() - (int) $timestamp) > TOLERANCE) {
        return false;
    }
    $check = str_starts_with($key, 'whpk_') ? 'is_signed_by_pair' : 'is_signed_by_secret';
    foreach (explode(' ', $headers['webhook-signature'] ?? '') as $signature) {
        if ($check($key, $signature, "$id.$timestamp.$body")) {
            return true;
        }
    }
    return false;
}

function is_signed_by_secret(string $secret, string $signature, string $content): bool
{
    $digest = hash_hmac('sha256', $content, base64_decode(substr($secret, strlen('whsec_'))), true);
    return hash_equals('v1,' . base64_encode($digest), $signature);
}

function is_signed_by_pair(string $public_key, string $signature, string $content): bool
{
    [$version, $encoded] = explode(',', $signature, 2) + ['', ''];
    $bytes = base64_decode($encoded, true);
    return $version === 'v1a' && $bytes !== false && strlen($bytes) === SODIUM_CRYPTO_SIGN_BYTES
        && sodium_crypto_sign_verify_detached($bytes, $content, base64_decode(substr($public_key, strlen('whpk_'))));
}

if (PHP_SAPI === 'cli' && realpath($argv[0]) === __FILE__) {
    $given = ['webhook-id' => $argv[1] ?? '', 'webhook-timestamp' => $argv[2] ?? '', 'webhook-signature' => $argv[3] ?? ''];
    if (!verify((string) getenv('KEY'), $given, (string) file_get_contents('php://stdin'))) {
        fwrite(STDERR, "refused\n");
        exit(1);
    }
}
