// @ts-check
/* What the server reads as a picture, for file pickers. Browsers know few of these types by name, so
   endings are listed too; with HEIC named, iOS sends its photos as they are. */
export const PICTURE_TYPES =
  "image/png,image/jpeg,image/webp,image/avif,image/heic,image/heif,image/gif,image/bmp,image/tiff," +
  ".png,.jpg,.jpeg,.jfif,.webp,.avif,.heic,.heif,.gif,.bmp,.tif,.tiff";
export const USE_A_PICTURE = "Use a PNG, JPEG, WebP, AVIF, HEIC, GIF, BMP or TIFF.";
