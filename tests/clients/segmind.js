const axios = require('axios');
const FormData = require('form-data');

const api_key = process.env.KEY;
const url = process.env.HOST + "/v1/flux-1.1-pro";

const reqBody = {
  "seed": 12345,
  "width": 1024,
  "height": 1024,
  "prompt": "A photo of an astronaut with a mirrored helmet standing in a field of sunflowers. The spacesuit has a NASA logo on it. The astronaut is covered in dirt and has vines wrapped around his body. The sky is dark and cloudy.",
  "aspect_ratio": "1:1",
  "output_format": "png",
  "output_quality": 80,
  "safety_tolerance": 2,
  "prompt_upsampling": false
};

(async function() {
  try {
    const formData = new FormData();

    // Append regular fields
    for (const key in reqBody) {
      if (reqBody.hasOwnProperty(key)) {
        formData.append(key, String(reqBody[key]));
      }
    }

    // Convert and append images as Base64 if necessary

    const response = await axios.post(url, formData, {
      headers: {
        'x-api-key': api_key,
        ...formData.getHeaders()
      }
    });
    console.log(response.data);
  } catch (error) {
    console.error('Error:', error.response ? error.response.data : error.message);
  }
})();
