// Kie's page has no sample, only an example for each field: this sends them all.
fetch(process.env.HOST + '/api/v1/flux/kontext/generate', {
  method: 'POST',
  headers: {
    'Authorization': 'Bearer ' + process.env.KEY,
    'Content-Type': 'application/json'
  },
  body: JSON.stringify({
    "prompt": "A serene mountain landscape at sunset with a lake reflecting the orange sky",
    "enableTranslation": true,
    "uploadCn": false,
    "inputImage": "https://example.com/input-image.jpg",
    "aspectRatio": "16:9",
    "outputFormat": "jpeg",
    "promptUpsampling": false,
    "model": "flux-kontext-pro",
    "safetyTolerance": 2,
    "watermark": "your-watermark-id"
  })
})
  .then((response) => response.json())
  .then((body) => console.log(JSON.stringify(body)));
